//! The end of a multi-line answer and the dots in front of its lines (RFC 1939 §3).

/// Takes the stuffed dots away and finds the end, over any cutting of the bytes. Holds a few bits of state, no data.
///
/// A line begins after any LF. A dot alone on a line with CR LF is the end. A dot alone on a line with a bare LF is
/// the end only if the server ends its own status lines so (`bare_lf`): elsewhere such a line can only come from
/// inside a message, and taking it for the end would let the message's author speak as the server.
#[derive(Clone, Debug)]
pub struct Unstuffer {
    at: At,
    bare_lf: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// First byte of a line.
    Start,
    /// After a dot that began the line; the dot is not given out.
    Dot,
    /// After dot and CR; neither is given out.
    DotCr,
    /// Inside a line.
    Text,
    /// The CR of a `DotCr` is owed to the output.
    OwedCr,
    /// The dot of a `Dot` is owed to the output.
    OwedDot,
    /// The end was seen.
    End,
}

/// What one call has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes taken from the input.
    pub read: usize,
    /// Bytes put into the output.
    pub written: usize,
    /// The end was seen; input after `read` belongs to the next answer.
    pub ended: bool,
}

impl Unstuffer {
    /// At the beginning of an answer's first line.
    pub fn new(bare_lf: bool) -> Self {
        Self { at: At::Start, bare_lf }
    }

    /// Decodes as much of `input` as fits into `output`.
    pub fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        let (mut read, mut written) = (0, 0);
        while self.at != At::End {
            if matches!(self.at, At::OwedCr | At::OwedDot) {
                let Some(slot) = output.get_mut(written) else { break };
                *slot = if self.at == At::OwedCr { b'\r' } else { b'.' };
                written += 1;
                self.at = At::Text;
                continue;
            }
            let Some(&byte) = input.get(read) else { break };
            self.at = match (self.at, byte) {
                (At::Start, b'.') => {
                    read += 1;
                    At::Dot
                }
                (At::Dot, b'\r') => {
                    read += 1;
                    At::DotCr
                }
                (At::DotCr, b'\n') => {
                    read += 1;
                    At::End
                }
                (At::Dot, b'\n') if self.bare_lf => {
                    read += 1;
                    At::End
                }
                (At::Dot, b'\n') => At::OwedDot,
                (At::DotCr, _) => At::OwedCr,
                (At::Start | At::Dot | At::Text, _) => {
                    let run = &input[read..];
                    let line = run.iter().position(|b| *b == b'\n').map_or(run.len(), |at| at + 1);
                    let taken = line.min(output.len() - written);
                    if taken == 0 {
                        break;
                    }
                    output[written..written + taken].copy_from_slice(&run[..taken]);
                    read += taken;
                    written += taken;
                    if run[taken - 1] == b'\n' { At::Start } else { At::Text }
                }
                (at @ (At::OwedCr | At::OwedDot | At::End), _) => at,
            };
        }
        Step { read, written, ended: self.at == At::End }
    }
}
