//! Commands and scripts as people have them, through the stock client and through ours, on our server: `tests/peer/` has
//! them and the two programs that compare.

use std::process::Command;

use crate::differential::table::root;
use crate::support::bao;
use crate::support::ports::Ports;

/// One test an area or script, so that they run side by side and fail by name.
macro_rules! compared {
    ($program:literal, $folder:literal, $all:ident: $($name:ident)*) => {
        $(#[test] fn $name() { compare($program, &stringify!($name).replace("cli_", "")); })*

        #[test]
        fn $all() {
            let tested: Vec<String> = [$(stringify!($name).replace("cli_", "")),*].to_vec();
            let files = std::fs::read_dir(root().join("tests/peer").join($folder)).expect("a folder");
            let name = |file: std::io::Result<std::fs::DirEntry>| file.expect("a file").path().with_extension("");
            let mut there: Vec<String> =
                files.map(|file| name(file).file_name().expect("a name").to_string_lossy().into_owned()).collect();
            there.sort();
            assert_eq!(tested, there);
        }
    };
}

compared! { "cli_diff.sh", "cli", every_area_of_commands_is_run: cli_auth cli_kv cli_paths cli_raft cli_rest }
compared! { "scripts.sh", "scripts", every_script_is_run:
    kv_tutorial policies_and_tokens policies_tutorial tokens_tutorial wrapping_tutorial
}

fn compare(program: &str, what: &str) {
    let mut ports = Ports::reserve();
    let own = env!("CARGO_BIN_EXE_holdfast");
    let output = Command::new(root().join("tests/peer").join(program))
        .arg(bao::binary())
        .args([own, own, what])
        .env("PORT", ports.next().to_string())
        .output()
        .expect("the program starts");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "\n{said}");
}
