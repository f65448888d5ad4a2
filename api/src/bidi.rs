//! Characters that turn the direction in which the text around them is shown, so that it could be read
//! as another one.

/// The property `Bidi_Control` of the Unicode Character Database, `PropList.txt`.
pub fn is_control(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
