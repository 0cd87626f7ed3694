//! What somebody who means harm would send, beyond what is tried where a part's own tests stand: `SECURITY.md` names all
//! of them.

mod bombs;
mod fields;
mod positions;
mod tokens;
