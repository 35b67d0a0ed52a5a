import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, describe, it, test } from "node:test";
import { execa } from "execa";
import { createStatusLine } from "./status.ts";
import { meshproof } from "./meshproof.fixture.ts";

const folder = mkdtempSync(path.join(tmpdir(), "meshproof-streams-"));
after(() => rmSync(folder, { recursive: true }));

/** Writes the clipboard, clears the screen, turns the direction of text, overwrites a line, and commands GitHub Actions. */
const HOSTILE = "\u001b]52;c;ZXZpbA==\u0007\u001b[2J\u202egnp\rover\n::stop-commands::t\n  ##[error]x";
const TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UifQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

const place = (name: string, text: string): string => {
  const file = path.join(folder, name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, text);
  return file;
};

const inActions = async (...args: string[]): Promise<string> => {
  const env = { GITHUB_ACTIONS: "true", GITHUB_STEP_SUMMARY: "", HOME: folder };
  const { stdout, stderr } = await meshproof(args, { env });
  return `${stdout}\n${stderr}`;
};

function assertHarmless(text: string, seen: RegExp): void {
  assert.doesNotMatch(text, /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202e]/, JSON.stringify(text));
  assert.doesNotMatch(text, /^\s*::|##\[/m, JSON.stringify(text));
  assert.match(text, seen, JSON.stringify(text));
}

describe("foreign text cannot control a terminal or a CI system", () => {
  it("in a context's name", async () => {
    const context = { cluster: "c", user: "u" };
    const kubeconfig = place(
      "kubeconfig",
      JSON.stringify({
        ...{ apiVersion: "v1", kind: "Config", clusters: [], users: [] },
        contexts: [{ name: HOSTILE, context }],
      }),
    );
    const text = await inActions("doctor", "--cluster", "existing", "--kubeconfig", kubeconfig, "--context", "other");
    assertHarmless(text, /␛\]52;c;ZXZpbA==␇␛\[2J⟨U\+202E⟩gnp␍over/);
  });

  it("in a results.json that is not JSON", async () => {
    const file = place("results.json", `${HOSTILE}${TOKEN}`);
    assertHarmless(await inActions("diff", file, file), /is not JSON/);
  });

  it("in a scenario's key", async () => {
    place("scenarios/a/b/scenario.yaml", `${JSON.stringify(HOSTILE)}: 1\n`);
    assertHarmless(await inActions("lint", "--scenarios", path.join(folder, "scenarios")), /unknown key "␛\]52/);
  });

  it("in what was typed", async () => {
    assertHarmless(await inActions(`--${HOSTILE}`), /unknown option/);
    assertHarmless(await inActions("list", `nothing${HOSTILE}`), /␛\[2J/);
  });

  it("in a webhook's message, of which a token loses its signature", async () => {
    const script = `import { explain } from ${JSON.stringify(path.join(import.meta.dirname, "explain.ts"))};
      import { MeshproofError } from ${JSON.stringify(path.join(import.meta.dirname, "../harness/model/errors.ts"))};
      const said = JSON.parse(process.argv[1]);
      explain(new MeshproofError("ERR_MANIFEST_REJECTED", 'admission webhook "x" denied the request: ' + said, { hint: said }));
      explain(new Error(said));`;
    const { stderr } = await execa(
      process.execPath,
      ["--input-type=module-typescript", "--eval", script, JSON.stringify(`${HOSTILE} ${TOKEN}`)],
      { env: { GITHUB_ACTIONS: "true" } },
    );
    assertHarmless(stderr, /denied the request: ␛\]52/);
    assert.doesNotMatch(stderr, /dBjftJeZ4CVP/);
    assert.match(stderr, /\.\[signature\]/);
  });

  it("in a sentence of progress", () => {
    let text = "";
    createStatusLine({ write: (more) => void (text += more) }, {}, () => 0).progress(`try again: ${HOSTILE} ${TOKEN}`);
    assertHarmless(text, /try again: ␛\]52;c;/);
    assert.equal(text.split("\n").length, 2);
  });
});

test("a reader that is slower than the command gets all of its output", async () => {
  const main = path.join(import.meta.dirname, "meshproof.mjs");
  const list = [process.execPath, main, "list", "--json"];
  const { stdout: whole } = await execa(list[0]!, list.slice(1));
  const slow = 'out=$("$@" | { sleep 1; wc -c; }); echo "$out"';
  const { stdout: read } = await execa("sh", ["-c", slow, "sh", ...list]);
  assert.ok(whole.length > 65_536);
  assert.equal(Number(read), Buffer.byteLength(whole) + 1);
});
