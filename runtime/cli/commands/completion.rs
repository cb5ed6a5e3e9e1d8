//! `completion` and `man`: shells and readers learn the command line from the table that it is read by.

use std::fmt::Write as _;

use super::{COMMANDS, Command};
use crate::flags::{Flag, Grammar, Said};
use crate::{Failed, GLOBAL, Globals, PROGRAM};

pub const COMPLETION: Command = Command {
    grammar: Grammar {
        name: "completion",
        operands: "bash|zsh|fish",
        count: (1, 1),
        strict: false,
        help: "print what a shell needs to complete the command line",
        flags: &[],
    },
    run: complete,
};

pub const MAN: Command = Command {
    grammar: Grammar {
        name: "man",
        operands: "",
        count: (0, 0),
        strict: false,
        help: "print the manual page",
        flags: &[],
    },
    run: print_manual,
};

fn complete(_: &Globals, said: &Said) -> Result<u8, Failed> {
    let text = match said.operands[0].as_str() {
        "bash" => bash(),
        // zsh reads bash's.
        "zsh" => format!("autoload -U +X bashcompinit && bashcompinit\n{}", bash()),
        "fish" => fish(),
        other => return Err(Failed::new(format!("completion: there is no `{other}`, but bash, zsh and fish"))),
    };
    print!("{text}");
    Ok(0)
}

fn dashed(flags: &[Flag]) -> String {
    flags.iter().map(|flag| format!("--{}", flag.name)).collect::<Vec<_>>().join(" ")
}

fn bash() -> String {
    let names: Vec<&str> = COMMANDS.iter().map(|command| command.grammar.name).collect();
    let mut cases = String::new();
    for Command { grammar, .. } in &COMMANDS {
        let ids = if grammar.operands.starts_with("ID") && grammar.name != "create" && grammar.name != "run" {
            " $(ashlar-runtime list -q 2>/dev/null)"
        } else {
            ""
        };
        let _ = writeln!(cases, "    {}) words=\"{}{ids}\" ;;", grammar.name, dashed(grammar.flags));
    }
    format!(
        "_ashlar_runtime() {{\n  local word words=\"{} {}\"\n  for word in \"${{COMP_WORDS[@]:1:COMP_CWORD-1}}\"; do\n    \
         case $word in\n{cases}    esac\n  done\n  COMPREPLY=($(compgen -f -W \"$words\" -- \
         \"${{COMP_WORDS[COMP_CWORD]}}\"))\n}}\ncomplete -F _ashlar_runtime ashlar-runtime\n",
        names.join(" "),
        dashed(GLOBAL)
    )
}

fn fish() -> String {
    let mut text = String::new();
    let mut flag = |when: &str, flag: &Flag| {
        let short = flag.short.map(|letter| format!(" -s {letter}")).unwrap_or_default();
        let value = if flag.value.is_some() { " -r" } else { "" };
        let help = flag.help.replace('\'', "\\'");
        let _ = writeln!(text, "complete -c ashlar-runtime -n '{when}' -l {}{short}{value} -d '{help}'", flag.name);
    };
    for global in GLOBAL {
        flag("__fish_use_subcommand", global);
    }
    for Command { grammar, .. } in &COMMANDS {
        for own in grammar.flags {
            flag(&format!("__fish_seen_subcommand_from {}", grammar.name), own);
        }
    }
    for Command { grammar, .. } in &COMMANDS {
        let (name, help) = (grammar.name, grammar.help.replace('\'', "\\'"));
        let _ = writeln!(text, "complete -c ashlar-runtime -n __fish_use_subcommand -f -a {name} -d '{help}'");
    }
    text
}

fn print_manual(_: &Globals, _: &Said) -> Result<u8, Failed> {
    print!("{}", manual());
    Ok(0)
}

/// In the language of man(7).
fn manual() -> String {
    let escape = |text: &str| text.replace('\\', "\\\\").replace('-', "\\-");
    let flags = |flags: &[Flag]| {
        flags.iter().fold(String::new(), |mut text, flag| {
            let short = flag.short.map(|letter| format!("\\fB\\-{letter}\\fR, ")).unwrap_or_default();
            let value = flag.value.map(|value| format!(" \\fI{}\\fR", escape(value))).unwrap_or_default();
            let _ = writeln!(text, ".TP\n{short}\\fB\\-\\-{}\\fR{value}\n{}.", escape(flag.name), escape(flag.help));
            text
        })
    };
    let mut text = format!(
        ".TH ASHLAR\\-RUNTIME 8\n.SH NAME\nashlar\\-runtime \\- {}\n.SH SYNOPSIS\n\\fBashlar\\-runtime\\fR [\\fIFLAGS\\fR] \
         \\fICOMMAND\\fR\n.SH OPTIONS\n{}.SH COMMANDS\n",
        escape(PROGRAM.help),
        flags(GLOBAL)
    );
    for Command { grammar, .. } in &COMMANDS {
        let _ = write!(
            text,
            ".SS {} [FLAGS] {}\n{}.\n{}",
            grammar.name,
            escape(grammar.operands),
            escape(grammar.help),
            flags(grammar.flags)
        );
    }
    text
}
