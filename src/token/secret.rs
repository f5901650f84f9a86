//! Secrets: drawing one, what is kept of it, and telling whether somebody has it.
//!
//! A secret is 256 random bits, so nobody can guess it or try all of them, however fast the hash is. A slow password
//! hash would only make each request slow. The salt keeps equal secrets, such as of copied files, from looking equal.

use std::fmt;
use std::hint::black_box;
use std::io;

use sha2::{Digest, Sha256};

/// What a token begins with, so that people and scanners of leaked secrets recognise it.
const PREFIX: &str = "tega_";

/// Random bytes of a secret; in the token they are twice as many hex digits.
const BYTES: usize = 32;

/// What the file keeps of a secret.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Salted {
    pub(super) salt: [u8; 16],
    pub(super) hash: [u8; 32],
}

impl Salted {
    fn of(salt: [u8; 16], digits: &str) -> Salted {
        // Salt and secret have a fixed length each: nothing can be moved from one to the other.
        let hash = Sha256::new().chain_update(salt).chain_update(digits).finalize();
        Salted { salt, hash: hash.into() }
    }

    /// Whether these are the secret's digits, in a time that tells nothing about them.
    pub(super) fn matches(&self, digits: &str) -> bool {
        let other = Salted::of(self.salt, digits);
        let differs = self.hash.iter().zip(&other.hash).fold(0, |sum, (a, b)| black_box(sum | (a ^ b)));
        black_box(differs) == 0
    }

    /// One that no secret matches, for names that don't exist: they take as long as those that do.
    pub(super) fn nobody() -> Salted {
        Salted { salt: [0; 16], hash: [0; 32] }
    }
}

impl fmt::Debug for Salted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salted")
    }
}

/// A new token of this name, `tega_NAME_64HEX`, and what is kept of it.
pub(super) fn draw(name: &str) -> io::Result<(String, Salted)> {
    let (mut salt, mut secret) = ([0; 16], [0; BYTES]);
    getrandom::fill(&mut salt).and_then(|()| getrandom::fill(&mut secret)).map_err(io::Error::other)?;
    let digits = to_hex(&secret);
    Ok((format!("{PREFIX}{name}_{digits}"), Salted::of(salt, &digits)))
}

/// Name and digits of a token; `None`: it has another form.
pub(super) fn split(token: &str) -> Option<(&str, &str)> {
    let (name, digits) = token.strip_prefix(PREFIX)?.rsplit_once('_')?;
    (digits.len() == 2 * BYTES).then_some((name, digits))
}

pub(super) fn to_hex(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from_digit(u32::from(n), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// So many bytes from twice as many hex digits.
pub(super) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let bytes: Vec<u8> = digits?.chunks(2).map(|pair| pair.iter().fold(0, |sum, d| sum << 4 | d)).collect();
    bytes.try_into().ok().filter(|_| text.len() == 2 * N)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_what_is_kept_of_it_and_no_other_is() {
        let (token, kept) = draw("a_b").unwrap();
        let (name, digits) = split(&token).unwrap();
        assert_eq!(name, "a_b");
        assert!(kept.matches(digits));
        let (other, kept_of_other) = draw("a_b").unwrap();
        assert!(!kept.matches(split(&other).unwrap().1) && kept.salt != kept_of_other.salt);
        let last = if digits.ends_with('0') { "1" } else { "0" };
        assert!(!kept.matches(&format!("{}{last}", &digits[..63])) && !kept.matches(""));
        assert!(!Salted::nobody().matches(digits));
        assert!(!format!("{kept:?}").contains(&to_hex(&kept.hash)));
    }

    #[test]
    fn the_hash_is_sha_256_of_salt_and_digits() {
        // printf '0123456789abcdefX' | sha256sum
        let kept = Salted::of(*b"0123456789abcdef", "X");
        assert_eq!(to_hex(&kept.hash), KNOWN);
    }

    const KNOWN: &str = "cff4b75e0de285d75d742781dc0dcd28412e4578a7983d78f442796f24ee6635";

    #[test]
    fn other_texts_are_no_tokens() {
        let zeros = "0".repeat(64);
        assert_eq!(split(&format!("tega_a_{zeros}")), Some(("a", zeros.as_str())));
        for text in ["", "tega_", "tega_a", &format!("tega_a_{zeros}0"), &format!("Tega_a_{zeros}"), &zeros] {
            assert_eq!(split(text), None, "{text}");
        }
    }

    #[test]
    fn hex_reads_back() {
        assert_eq!(from_hex(&to_hex(&[0, 127, 255])), Some([0, 127, 255]));
        for bad in ["", "0", "00", "00112", "001g22", "0011223", "00112233"] {
            assert_eq!(from_hex::<3>(bad), None, "{bad}");
        }
    }
}
