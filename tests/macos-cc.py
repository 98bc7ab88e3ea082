#!/usr/bin/env python3
"""A C compiler and linker for macOS made of `zig cc`, for tests/check-macos.sh.

Compiles C, stands in for Objective-C (whose headers are Apple's), and links against libSystem and
against frameworks made up on the spot. What it builds is good for finding errors, not for running.
"""

import os
import re
import subprocess
import sys
import tempfile

ZIG = os.environ["MACOS_ZIG"]
TARGET = os.environ["MACOS_ZIG_TARGET"]
MODE = "c++" if sys.argv[0].endswith("++") else "cc"

# Which framework or library exports a symbol, by its name. A symbol that no linked one could export
# stays undefined: a misspelt `extern` is an error.
OWNERS = [
    ("CoreFoundation", r"_k?CF|___CF"),
    ("Security", r"_k?Sec|_k?SSL|_Authorization|_CMS|_errSec"),
    ("SystemConfiguration", r"_k?SC[A-Z]"),
    ("IOKit", r"_k?IO"),
    ("CoreServices", r"_FSEvent|_k?LS|_k?MD"),
    ("DiskArbitration", r"_k?DA"),
    ("OpenDirectory", r"_k?OD"),
    ("UserNotifications", r"_UN|_OBJC_(META)?CLASS_\$_UN"),
    ("AppKit", r"_NSApp|_OBJC_(META)?CLASS_\$_NS"),
    ("Foundation", r"_NS|_OBJC_(META)?CLASS_\$_NS"),
    ("Cocoa", r"_NS|_OBJC_"),
    ("objc", r"_objc_|__objc_|_OBJC_|_(class|object|sel|method|ivar|protocol|property|imp)_"),
    ("iconv", r"_(lib)?iconv"),
    ("resolv", r"_res_"),
    ("bsm", r"_audit_|_au_|_getaudit"),
]
LIBRARIES = {
    "objc": "/usr/lib/libobjc.A.dylib",
    "iconv": "/usr/lib/libiconv.2.dylib",
    "resolv": "/usr/lib/libresolv.9.dylib",
    "bsm": "/usr/lib/libbsm.0.dylib",
}
# zig has these: parts of libSystem.
IN_SYSTEM = {"System", "c", "m", "pthread", "dl", "util", "info", "proc", "dbm"}


def arguments():
    """The command line, response files unfolded, without what zig does not know."""
    given = []
    for argument in sys.argv[1:]:
        if argument.startswith("@") and os.path.isfile(argument[1:]):
            with open(argument[1:]) as file:
                given += [re.sub(r"\\(.)", r"\1", line) for line in file.read().split("\n") if line]
        else:
            given.append(argument)
    kept = []
    words = iter(given)
    for word in words:
        if word in ("-arch", "-isysroot", "-target", "-syslibroot"):
            next(words, None)
        elif not word.startswith(("--target=", "-mmacosx-version-min", "-mmacos-version-min", "-mtargetos=",
                                  "-march=", "-mcpu=")):
            kept.append(word)
    return kept


def zig(more, **how):
    return subprocess.run([ZIG, MODE, "-target", TARGET, *more], **how)


def output(args, otherwise):
    return args[args.index("-o") + 1] if "-o" in args else otherwise


def stand_in(source, args):
    """Compiles the unit's functions with empty bodies: enough to check and to link."""
    with open(source, errors="replace") as file:
        text = file.read()
    names = re.findall(
        r"^(?!static\b|typedef\b|return\b|else\b|inline\b)[A-Za-z_][\w \*]*?\b(\w+)\s*\([^;{}]*\)\s*\{", text, re.M)
    out = output(args, os.path.splitext(os.path.basename(source))[0] + ".o")
    with tempfile.NamedTemporaryFile("w", suffix=".c") as unit:
        unit.write("".join(f"void {name}(void) {{}}\n" for name in dict.fromkeys(names)))
        unit.flush()
        return subprocess.run(
            [ZIG, "cc", "-target", TARGET, "-w", "-fno-builtin", "-c", unit.name, "-o", out]).returncode


def compile_unit(args):
    objective = [word for word in args if word.endswith((".m", ".mm"))]
    if objective and "-c" in args:
        return stand_in(objective[0], args)
    sources = [word for word in args if word.endswith((".c", ".cc", ".cpp"))]
    if "-c" not in args or not sources:
        return zig(args).returncode
    done = zig(args, stderr=subprocess.PIPE, text=True, errors="replace")
    # A build script's own question about the system must be answered truthfully.
    question = os.path.abspath(sources[0]).startswith(os.environ.get("OUT_DIR", "/nonexistent"))
    apples = re.search(r"'(os|xpc|[A-Z]\w+)/\w+\.h' file not found", done.stderr)
    if done.returncode and apples and not question:
        print(f"macos-cc: no header of Apple's here, a stand-in for {sources[0]}", file=sys.stderr)
        return stand_in(sources[0], args)
    sys.stderr.write(done.stderr)
    return done.returncode


def write_stub(folder, name, framework, symbols):
    """A text stub (.tbd) of a framework or library that exports these symbols."""
    if framework:
        path = f"{folder}/frameworks/{name}.framework/{name}.tbd"
        version = "C" if name in ("AppKit", "Foundation") else "A"
        installed = f"/System/Library/Frameworks/{name}.framework/Versions/{version}/{name}"
    else:
        path = f"{folder}/lib/lib{name}.tbd"
        installed = LIBRARIES.get(name, f"/usr/lib/lib{name}.dylib")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    plain = ", ".join(repr(symbol) for symbol in sorted(symbols) if not symbol.startswith("_OBJC_"))
    classes = ", ".join(sorted({symbol.split("_$_", 1)[1] for symbol in symbols if "CLASS_$_" in symbol}))
    targets = "[ x86_64-macos, arm64-macos, arm64e-macos ]"
    with open(path, "w") as file:
        file.write(f"--- !tapi-tbd\ntbd-version: 4\ntargets: {targets}\ninstall-name: '{installed}'\n"
                   f"exports:\n  - targets: {targets}\n    symbols: [ {plain} ]\n")
        if classes:
            file.write(f"    objc-classes: [ {classes} ]\n")
        file.write("...\n")


def link(args):
    frameworks = [args[i + 1] for i, word in enumerate(args[:-1]) if word == "-framework"]
    folders = [word[2:] for word in args if word.startswith("-L") and len(word) > 2]
    folders += [args[i + 1] for i, word in enumerate(args[:-1]) if word == "-L"]
    there = lambda name: any(
        os.path.exists(f"{folder}/lib{name}{end}") for folder in folders for end in (".a", ".tbd", ".dylib"))
    libraries = [word[2:] for word in args if word.startswith("-l")]
    libraries = [name for name in libraries if name not in IN_SYSTEM and not there(name)]
    symbols = {name: set() for name in dict.fromkeys(frameworks + libraries)}
    args = [word for word in args if word not in ("-ldbm", "-lproc")]
    with tempfile.TemporaryDirectory(prefix="macos-sdk-") as folder:
        # What is undefined after one attempt is exported by the stubs of the next.
        for _ in range(4):
            for name, exported in symbols.items():
                write_stub(folder, name, name in frameworks, exported)
            done = zig([f"-F{folder}/frameworks", f"-L{folder}/lib", *args],
                       stderr=subprocess.PIPE, text=True, errors="replace")
            undefined = set(re.findall(r"undefined symbol: (\S+)", done.stderr))
            if done.returncode == 0 or not undefined:
                break
            nobodys = []
            for symbol in undefined:
                owner = next((name for name, mark in OWNERS if name in symbols and re.match(mark, symbol)), None)
                if owner and symbol not in symbols[owner]:
                    symbols[owner].add(symbol)
                else:
                    nobodys.append(symbol)
            if nobodys:
                print("macos-cc: exported by nothing that is linked: " + ", ".join(sorted(nobodys)), file=sys.stderr)
                break
    sys.stderr.write(done.stderr)
    return done.returncode


def main():
    args = arguments()
    if {"-c", "-E", "-S"} & set(args):
        return compile_unit(args)
    if "-o" not in args or {"-v", "--version", "-dumpmachine"} & set(args):
        return zig(args).returncode
    return link(args)


sys.exit(main())
