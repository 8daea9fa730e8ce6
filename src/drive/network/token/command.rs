//! A token from a program's stdout.
//!
//! In: a program and its arguments; no shell reads them. Out: a grant, or why there is none. What the program writes is a secret: nothing
//! of it is logged, and its stderr is not kept.

use std::process::Stdio;

use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::lifecycle::TokenFailure;
use crate::machine::is_local_limit;
use crate::sample::RequestAnswer;

use super::answer::Refusal;
use super::grant::{Places, TokenGrant, read_answer};

/// The most that is read of a program's stdout.
const OUTPUT_CAP: u64 = 64 * 1024;

/// Runs `command` to its end. It is killed when this future is dropped.
pub(super) async fn run_command(command: &[String], unix_us: u64) -> Result<TokenGrant, Refusal> {
    let failed = Refusal::of(TokenFailure::Error, RequestAnswer::CommandFailed);
    let (program, arguments) = command.split_first().ok_or(failed)?;
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let mut child = child.map_err(|error| {
        log::warn!("the token command cannot be started: {}", error.kind());
        if is_local_limit(&error) { TokenFailure::LocalLimit.into() } else { failed }
    })?;
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(OUTPUT_CAP + 1).read_to_end(&mut output).await.map_err(|_| failed)?;
    }
    let status = child.wait().await.map_err(|_| failed)?;
    if !status.success() || output.len() as u64 > OUTPUT_CAP {
        log::warn!("the token command ended with {status}, {} bytes of output", output.len());
        return Err(failed);
    }
    read_output(&output, unix_us).map_err(|answer| Refusal::of(TokenFailure::Error, answer))
}

/// A grant as JSON, or the bare token.
///
/// # Errors
/// What is wrong with it.
pub(in crate::drive::network) fn read_output(
    output: &[u8],
    unix_us: u64,
) -> Result<TokenGrant, RequestAnswer> {
    let text = output.trim_ascii();
    if text.starts_with(b"{") {
        return read_answer(200, text, Places::standard(unix_us)).map_err(|wrong| wrong.answer);
    }
    let is_token = !text.is_empty() && text.iter().all(u8::is_ascii_graphic);
    let token = std::str::from_utf8(text).ok().filter(|_| is_token).ok_or(RequestAnswer::NoAccessToken)?;
    Ok(TokenGrant::bare(token, unix_us))
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn run(command: &[&str]) -> Option<(String, Option<u64>)> {
        let command: Vec<String> = command.iter().map(|part| (*part).to_owned()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let grant = runtime.block_on(run_command(&command, 0)).ok()?;
        Some((grant.access_token.expose_secret().to_owned(), grant.life.map(|life| life.as_secs())))
    }

    #[test]
    fn stdout_is_a_token_or_a_grant_and_all_else_is_none() {
        assert_eq!(run(&["printf", "abc\n"]), Some(("abc".into(), None)));
        assert_eq!(
            run(&["printf", "%s", "{\"access_token\":\"t\",\"expires_in\":60}"]),
            Some(("t".into(), Some(60)))
        );
        assert_eq!(run(&["printf", "two words"]), None);
        assert_eq!(run(&["printf", ""]), None);
        assert_eq!(run(&["false"]), None);
        assert_eq!(run(&["/nowhere/program"]), None);
        assert_eq!(run(&["head", "-c", "100000", "/dev/zero"]), None);
    }
}
