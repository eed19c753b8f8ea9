//! One seed in two processes, their traces compared line by line.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::outcome::Class;

/// Runs `arguments` (a `run` command line) in two child processes at once and stops at the first line that differs.
/// Returns the exit code.
pub fn verify(arguments: &[String]) -> i32 {
    let children = (spawn(arguments), spawn(arguments));
    let (Ok((mut left, left_out)), Ok((mut right, right_out))) = children else {
        eprintln!("error: cannot start the simulator again");
        return Class::Harness as i32;
    };
    let mut left_lines = left_out.lines().map_while(Result::ok);
    let mut right_lines = right_out.lines().map_while(Result::ok);
    let mut last = [String::new(), String::new()];
    let mut line = 0u64;
    loop {
        line += 1;
        match (left_lines.next(), right_lines.next()) {
            (None, None) => break,
            (a, b) if a == b => last = [std::mem::take(&mut last[1]), a.unwrap_or_default()],
            (a, b) => {
                let _ = (left.kill(), right.kill());
                let _ = (left.wait(), right.wait());
                println!("the runs differ in line {line}, after:\n    {}", last.join("\n    "));
                println!("first:  {}", a.as_deref().unwrap_or("(ended)"));
                println!("second: {}", b.as_deref().unwrap_or("(ended)"));
                println!("VIOLATION non-determinism line={line}");
                return Class::NonDeterminism as i32;
            }
        }
    }
    let codes = (exit_code(&mut left), exit_code(&mut right));
    println!("{}", last[1]);
    if codes.0 != codes.1 {
        println!("VIOLATION non-determinism exit codes {} and {}", codes.0, codes.1);
        return Class::NonDeterminism as i32;
    }
    println!("verified: {} identical lines", line - 1);
    codes.0
}

fn spawn(arguments: &[String]) -> std::io::Result<(Child, BufReader<ChildStdout>)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments).args(["--trace", "-"]).stdout(Stdio::piped()).stdin(Stdio::null());
    let mut child = command.spawn()?;
    let stdout = child.stdout.take().ok_or_else(|| std::io::Error::other("a child without output"))?;
    Ok((child, BufReader::new(stdout)))
}

fn exit_code(child: &mut Child) -> i32 {
    child.wait().ok().and_then(|status| status.code()).unwrap_or(Class::Harness as i32)
}
