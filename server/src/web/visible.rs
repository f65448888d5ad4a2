//! What cannot be seen made visible: control characters, those that turn the direction of what
//! follows, so that a text could be read as another one, and marks without end on one letter.
//!
//! Owns the sign that stands for each. A page goes through it whole, after its templates: none of them
//! holds such a character, so every one comes from a text of somebody else's.

use firstbad_api::bidi;

/// Marks and joiners shown on one letter. No script has more, and a browser cannot break them.
const JOINED: usize = 10;
const ZERO_WIDTH_JOINER: char = '\u{200d}';

/// What is shown in place of a character; line ends and tabs stay.
pub fn sign(c: char) -> char {
    match c {
        '\t' | '\n' | '\r' => c,
        '\0'..='\x1f' => char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}'),
        '\x7f'..='\u{9f}' => '\u{fffd}',
        c if bidi::is_control(c) => '\u{fffd}',
        c => c,
    }
}

/// Whether it is drawn on the letter before it, or glues one to the next.
fn joins(c: char) -> bool {
    c >= '\u{300}'
        && matches!(c, '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5c7}'
            | '\u{610}'..='\u{61a}' | '\u{64b}'..='\u{65f}' | '\u{e31}' | '\u{e34}'..='\u{e3a}'
            | '\u{e47}'..='\u{e4e}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
            | ZERO_WIDTH_JOINER | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{fe20}'..='\u{fe2f}' | '\u{e0100}'..='\u{e01ef}')
}

/// A page with signs for what cannot be seen.
pub fn page(html: String) -> String {
    let mut out = String::with_capacity(html.len());
    for line in html.split_inclusive('\n') {
        match line.is_ascii()
            && !line
                .bytes()
                .any(|b| b.is_ascii_control() && sign(b.into()) != char::from(b))
        {
            true => out.push_str(line),
            false => shown(line, &mut out),
        }
    }
    out
}

fn shown(line: &str, out: &mut String) {
    let (mut joined, mut before) = (0, ' ');
    for c in line.chars() {
        if joins(c) {
            joined += 1;
        } else if before != ZERO_WIDTH_JOINER {
            joined = 0;
        }
        before = match joins(c) && joined > JOINED {
            true => '\u{fffd}',
            false => sign(c),
        };
        out.push(before);
    }
}

#[cfg(test)]
mod tests {
    use super::page;

    #[test]
    fn nothing_of_a_page_is_hidden_or_turns_what_follows() {
        let told = "a\u{202e}b\u{200f}c\u{1b}[31m\0\u{85}\r\n\té\u{200d}".to_owned();
        let shown = "a\u{fffd}b\u{fffd}c\u{241b}[31m\u{2400}\u{fffd}\r\n\té\u{200d}";
        assert_eq!(page(told), shown);
    }

    #[test]
    fn marks_without_end_are_no_longer_on_one_letter() {
        let family = "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{200d}\u{1f466}";
        assert_eq!(page(family.repeat(9)), family.repeat(9));
        let flood = format!("e{}x\u{301}", "\u{301}".repeat(12));
        let shown = format!("e{}\u{fffd}\u{fffd}x\u{301}", "\u{301}".repeat(10));
        assert_eq!(page(flood), shown);
        let link = "\u{1f469}\u{200d}";
        let shown = format!("{}\u{1f469}\u{fffd}{link}", link.repeat(10));
        assert_eq!(page(link.repeat(12)), shown);
    }
}
