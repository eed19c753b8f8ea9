//! Secrets typed on a terminal, without echo.

use std::io::{Read, Write};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

/// Prints `question` to `to` and reads a line from standard input without echo. The error is the reason, as
/// the peers word it when standard input is no terminal. Ctrl-C gives up.
pub fn hidden(question: &str, mut to: impl Write) -> Result<String, String> {
    let _ = write!(to, "{question}").and_then(|()| to.flush());
    let answer = without_echo();
    let _ = writeln!(to);
    answer
}

fn without_echo() -> Result<String, String> {
    let stdin = std::io::stdin();
    let before = tcgetattr(&stdin).map_err(|_| "file descriptor 0 is not a terminal".to_string())?;
    let mut quiet = before.clone();
    // Signals off as well: Ctrl-C must not leave the terminal without echo.
    quiet.local_modes &= !(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
    tcsetattr(&stdin, OptionalActions::Now, &quiet).map_err(|error| error.to_string())?;
    let line = read_line(&mut stdin.lock());
    tcsetattr(&stdin, OptionalActions::Now, &before).map_err(|error| error.to_string())?;
    line
}

/// A line, with the keys that edit one.
fn read_line(input: &mut impl Read) -> Result<String, String> {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        if input.read(&mut byte).map_err(|error| error.to_string())? == 0 {
            break;
        }
        match byte[0] {
            b'\n' | b'\r' => break,
            CTRL_D if line.is_empty() => break,
            CTRL_C => return Err("interrupted".to_string()),
            CTRL_U => line.clear(),
            BACKSPACE | DELETE => drop(line.pop()),
            byte => line.push(byte),
        }
    }
    String::from_utf8(line).map_err(|_| "the input is not UTF-8".to_string())
}

const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const BACKSPACE: u8 = 8;
const CTRL_U: u8 = 21;
const DELETE: u8 = 127;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_a_line() {
        let read = |bytes: &[u8]| read_line(&mut &bytes[..]);
        assert_eq!(read(b"abd\x7fc\nrest").as_deref(), Ok("abc"));
        assert_eq!(read(b"wrong\x15right\r").as_deref(), Ok("right"));
        assert!(read(b"ab\x03").is_err());
        assert_eq!(read(b"").as_deref(), Ok(""));
    }
}
