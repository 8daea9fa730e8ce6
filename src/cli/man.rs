//! `resurge man`, which packages are made with.
//!
//! In: a folder, and the command line. Out: its manual pages in roff (man(7)), one for the program and one for each subcommand.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Command};

use crate::exit_code::ExitCode;

const EXAMPLE: &str = "\
Example:
  resurge man ~/.local/share/man/man1";

/// Arguments of `resurge man`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct ManArgs {
    /// The folder for the pages, which is made if it is not there
    folder: PathBuf,
}

pub(super) fn run(args: &ManArgs, command: Command, err: &mut dyn Write) -> io::Result<ExitCode> {
    let written = fs::create_dir_all(&args.folder)
        .and_then(|()| clap_mangen::generate_to(command.disable_help_subcommand(true), &args.folder));
    if let Err(error) = written {
        writeln!(err, "error: cannot write the manual pages to {}: {error}", args.folder.display())?;
        return Ok(ExitCode::Unexpected);
    }
    Ok(ExitCode::Pass)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Arguments;

    fn name_of(command: &Command, prefix: &str) -> Vec<String> {
        let own = format!("{prefix}{}", command.get_name());
        let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
        let mut names: Vec<_> = shown.flat_map(|command| name_of(command, &format!("{own}-"))).collect();
        names.push(format!("{own}.1"));
        names
    }

    #[test]
    fn every_command_that_is_shown_has_a_page_and_no_other() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("man/man1");
        let args = ManArgs { folder: folder.clone() };
        assert_eq!(run(&args, Arguments::command(), &mut io::sink()).unwrap(), ExitCode::Pass);
        let mut wanted = name_of(&Arguments::command(), "");
        wanted.sort();
        let entries = fs::read_dir(&folder).unwrap();
        let mut written: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        written.sort();
        assert_eq!(written, wanted);
        assert!(written.len() > 15, "{written:?}");
        let page = fs::read_to_string(folder.join("resurge-run.1")).unwrap();
        assert!(page.contains("\\-\\-authorize"), "{page}");
        let page = fs::read_to_string(folder.join("resurge.1")).unwrap();
        assert!(page.contains("Exit codes"), "{page}");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        fs::write(&file, "").unwrap();
        let args = ManArgs { folder: file.join("man1") };
        let mut said = Vec::new();
        assert_eq!(run(&args, Arguments::command(), &mut said).unwrap(), ExitCode::Unexpected);
        assert!(String::from_utf8(said).unwrap().contains("file/man1"));
    }
}
