//! SVG to PNG with the embedded font alone: system fonts would make pictures differ by machine.
//!
//! Must not know what is drawn.

use std::sync::Arc;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

use crate::error::CliError;

/// DejaVu Sans 2.37, unmodified; its licence lies beside it.
const FONT: &[u8] = include_bytes!("../../assets/DejaVuSans.ttf");
/// Pixels of the picture for one of the figure.
const SCALE: f32 = 2.0;

/// The figure as PNG, twice as large.
///
/// # Errors
/// [`CliError::Internal`] if the text is no SVG or the picture is too large for memory.
pub(crate) fn render(svg: &str) -> Result<Vec<u8>, CliError> {
    let fail = |reason: String| CliError::Internal(format!("cannot draw the figure: {reason}"));
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(FONT.to_vec());
    fonts.set_sans_serif_family("DejaVu Sans");
    let options = Options {
        fontdb: Arc::new(fonts),
        font_family: "DejaVu Sans".to_owned(),
        ..Options::default()
    };
    let tree = Tree::from_str(svg, &options).map_err(|error| fail(error.to_string()))?;
    let size = tree.size().to_int_size();
    let scaled = |pixels: u32| (pixels as f32 * SCALE).ceil() as u32;
    let mut picture = Pixmap::new(scaled(size.width()), scaled(size.height()))
        .ok_or_else(|| fail(format!("{size:?} is too large")))?;
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut picture.as_mut());
    picture.encode_png().map_err(|error| fail(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"40\" height=\"20\" \
                        font-family=\"DejaVu Sans\">";

    #[test]
    fn text_leaves_ink() {
        let blank = render(&format!("{HEAD}</svg>")).unwrap();
        let text = render(&format!("{HEAD}<text x=\"2\" y=\"15\">ms</text></svg>")).unwrap();
        assert!(blank.starts_with(b"\x89PNG"));
        assert_ne!(blank, text, "the embedded font was not found");
    }

    #[test]
    fn what_is_no_svg_is_an_error() {
        assert!(render("no svg").is_err());
    }
}
