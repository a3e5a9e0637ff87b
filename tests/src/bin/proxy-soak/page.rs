//! What bodies consist of: each piece of 16 bytes says whose it is and where it stands, so that a mixed up, shifted or
//! missing piece is seen.

/// A piece: the id in eight hexadecimal digits, `-`, the piece's number in six, and a line end.
const PIECE: usize = 16;
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The body of this id.
pub(crate) fn body(id: u32, length: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(length.next_multiple_of(PIECE));
    for number in 0..length.div_ceil(PIECE) {
        body.extend_from_slice(&piece(id, number));
    }
    body.truncate(length);
    body
}

/// Whether this is the body of this id, in whole.
pub(crate) fn check(id: u32, length: usize, body: &[u8]) -> Result<(), String> {
    if body.len() != length {
        return Err(format!("a body of {} bytes instead of {length} is taken for whole", body.len()));
    }
    for (number, found) in body.chunks(PIECE).enumerate() {
        let wanted = piece(id, number);
        if *found != wanted[..found.len()] {
            let (wanted, found) = (wanted.escape_ascii(), found.escape_ascii());
            return Err(format!("the body has {found} instead of {wanted} at {}", number * PIECE));
        }
    }
    Ok(())
}

fn piece(id: u32, number: usize) -> [u8; PIECE] {
    let digit = |value: u32, place: u32| DIGITS[(value >> (4 * place) & 0xf) as usize];
    let number = number as u32;
    let mut piece = *b"........-......\n";
    for place in 0..8 {
        piece[7 - place as usize] = digit(id, place);
    }
    for place in 0..6 {
        piece[14 - place as usize] = digit(number, place);
    }
    piece
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_known_by_its_id_and_length() {
        assert_eq!(body(0xab, 20), b"000000ab-000000\n0000");
        assert_eq!(check(0xab, 20, &body(0xab, 20)), Ok(()));
    }

    #[test]
    fn another_ones_short_and_shifted_bodies_are_seen() {
        let whole = body(7, 64);
        assert!(check(8, 64, &whole).is_err());
        assert!(check(7, 64, &whole[..63]).is_err());
        assert!(check(7, 48, &whole[16..]).is_err());
    }
}
