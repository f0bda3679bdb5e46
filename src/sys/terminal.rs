//! The terminal, where it must not show what is typed.

use std::io::{self, BufRead, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// Asks `prompt` on standard error and reads a line from standard input without showing it. The line end is not part of it.
///
/// # Errors
/// When standard input is no terminal, or ends.
pub fn read_hidden(prompt: &str) -> io::Result<Vec<u8>> {
    let stdin = io::stdin();
    let before = tcgetattr(&stdin)?;
    let mut hidden = before.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    hidden.local_modes.insert(LocalModes::ECHONL);
    let _shown = Restore(before);
    tcsetattr(&stdin, OptionalActions::Flush, &hidden)?;
    let mut err = io::stderr();
    let _ = write!(err, "{prompt}");
    let _ = err.flush();
    let mut line = Vec::new();
    if stdin.lock().read_until(b'\n', &mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    line.pop_if(|last| *last == b'\n');
    Ok(line)
}

/// The whole screen, with nothing typed shown, until it is dropped. What was on it before is on it again afterwards.
pub struct Screen {
    _before: Restore,
}

impl Screen {
    /// Takes it.
    ///
    /// # Errors
    /// When standard input or output is no terminal.
    pub fn take() -> io::Result<Self> {
        let stdin = io::stdin();
        let before = tcgetattr(&stdin)?;
        let mut quiet = before.clone();
        // Keys come one by one and unseen; Ctrl-C comes as a key, so that it does not leave the screen as it is.
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        let screen = Self { _before: Restore(before) };
        tcsetattr(&stdin, OptionalActions::Flush, &quiet)?;
        // Another screen, and no cursor (xterm's ctlseqs).
        io::stdout().write_all(b"\x1b[?1049h\x1b[?25l")?;
        Ok(screen)
    }

    /// Its columns and rows.
    pub fn size(&self) -> (usize, usize) {
        let size = tcgetwinsize(io::stdout()).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
        size.map_or((80, 24), |size| (size.ws_col.into(), size.ws_row.into()))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut out = io::stdout();
        let _ = out.write_all(b"\x1b[?25h\x1b[?1049l");
        let _ = out.flush();
    }
}

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPress {
    /// One that means the end: `q`, Ctrl-C, Ctrl-D.
    Quit,
    /// Any other.
    Other,
}

impl KeyPress {
    /// Waits for one.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn read() -> io::Result<Self> {
        let mut key = [0];
        io::Read::read_exact(&mut io::stdin().lock(), &mut key)?;
        Ok(if matches!(key[0], b'q' | b'Q' | 3 | 4) { Self::Quit } else { Self::Other })
    }
}

/// The terminal as it was, however the reading ends.
struct Restore(Termios);

impl Drop for Restore {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}
