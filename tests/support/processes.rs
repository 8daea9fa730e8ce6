//! The processes of a run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Those that have `file` among their arguments, by the shard that they are; `parent` is none.
pub(crate) fn processes_of(file: &Path) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let arguments = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        let arguments: Vec<&str> = arguments.split('\0').collect();
        if arguments.contains(&file.to_str().unwrap()) {
            let shard = arguments.iter().skip_while(|word| **word != "--shard").nth(1);
            found.insert((*shard.unwrap_or(&"parent")).to_owned(), pid);
        }
    }
    found
}
