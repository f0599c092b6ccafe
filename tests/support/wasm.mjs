// Runs a Python script in a Python that is WebAssembly; for interpreters.py.
//
//     node wasm.mjs micropython|pyodide SCRIPT
//
// The files beside the script are in the current folder of that Python. What it prints comes out
// here; the status is 0, what sys.exit says, or 1 where it raises.
import { readFileSync, readdirSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { createRequire } from "node:module";

const [kind, script] = process.argv.slice(2);
const modules = createRequire(new URL("../npm/package.json", import.meta.url));
const folder = dirname(script);
const files = readdirSync(folder).filter((name) => statSync(join(folder, name)).isFile());
const code = `
import sys
if "." not in sys.path: sys.path.insert(0, ".")
status = 0
try:
    with open(${JSON.stringify(basename(script))}) as file: source = file.read()
    exec(compile(source, ${JSON.stringify(basename(script))}, "exec"), {"__name__": "__main__"})
except SystemExit as end:
    code = end.args[0] if end.args else 0
    status = 0 if code is None else code if isinstance(code, int) else 1
`;

// A program that writes one character a call must not become one system call a character.
let output = [];
const flush = () => { process.stdout.write(Buffer.concat(output)); output = []; };
const write = (bytes) => { output.push(Buffer.from(bytes)); return bytes.length; };

function copy(FS) {
    for (const name of files) FS.writeFile(name, readFileSync(join(folder, name)));
}

let python;
if (kind === "micropython") {
    const { loadMicroPython } = await import(
        modules.resolve("@micropython/micropython-webassembly-pyscript/micropython.mjs"));
    python = await loadMicroPython({
        linebuffer: false,
        stdout: write,
    });
    copy(python.FS);
} else {
    const { loadPyodide } = await import(modules.resolve("pyodide/pyodide.mjs"));
    python = await loadPyodide();
    python.setStdout({ write });
    python.setStderr({ write: (bytes) => { process.stderr.write(Buffer.from(bytes)); return bytes.length; } });
    copy(python.FS);
}
let status = 1;
try {
    python.runPython(code);
    status = python.globals.get("status");
} catch (error) {
    process.stderr.write(`${error.message}\n`);
}
flush();
process.exitCode = status;
