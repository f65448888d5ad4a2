//! The corpus of hostile texts, and what a page has to show of one.

/// The texts of `hostile.txt`, which tells how they are written.
pub fn read_corpus() -> Vec<Vec<u8>> {
    let lines = include_str!("../hostile.txt").lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("# "));
    lines.map(decode).collect()
}

fn decode(line: &str) -> Vec<u8> {
    if let Some((times, text)) = line.strip_prefix('@').and_then(|rest| rest.split_once(' '))
        && let Ok(times) = times.parse()
    {
        return decode(text).repeat(times);
    }
    let mut out = Vec::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\\') {
        out.extend(before.as_bytes());
        let (byte, used) = match after.as_bytes()[0] {
            b'n' => (b"\n".to_vec(), 1),
            b'r' => (b"\r".to_vec(), 1),
            b't' => (b"\t".to_vec(), 1),
            b'\\' => (b"\\".to_vec(), 1),
            b'x' => (hex::decode(&after[1..3]).unwrap(), 3),
            b'u' => {
                let end = after.find('}').unwrap();
                let code = u32::from_str_radix(&after[2..end], 16).unwrap();
                (
                    char::from_u32(code).unwrap().to_string().into_bytes(),
                    end + 1,
                )
            }
            _ => panic!("an unknown escape in {line}"),
        };
        out.extend(byte);
        rest = &after[used..];
    }
    out.extend(rest.as_bytes());
    out
}

/// The same without line ends.
pub fn one_line(text: &[u8]) -> Vec<u8> {
    let line = |b: &u8| if b"\r\n".contains(b) { b' ' } else { *b };
    text.iter().map(line).collect()
}

/// As readers see it: what has no shape, or turns the direction of what follows, is shown as a sign, and
/// so are marks without end.
pub fn shown(text: &str) -> String {
    firstbad_server::web::visible(text.to_owned())
}

/// The same of bytes.
pub fn shown_bytes(text: &[u8]) -> String {
    shown(&String::from_utf8_lossy(text))
}

/// A text as a part of an address.
pub fn encoded(text: &[u8]) -> String {
    let byte = |b: &u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(*b).to_string(),
        b => format!("%{b:02X}"),
    };
    text.iter().map(byte).collect()
}
