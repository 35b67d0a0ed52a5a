/**
 * Asks tickets with made-up credentials on a kept cluster, and searches everything that was written for a part of one: terminal, pages,
 * JSON, exports, and whatever a folder such as the cluster's own has (logs, etcd).
 *
 * node cli/node24.mjs tools/search-secrets.ts <cluster> <out> [folder to search as well …]
 */

import { createReadStream } from "node:fs";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { execa } from "execa";
import { makeTempDir } from "../clusters/temp-dir.ts";
import { curlOf, made, OBJECTS, piecesOf, POLICIES, REQUESTS } from "../cli/ticket-secrets.fixture.ts";

const ROOT = path.join(import.meta.dirname, "..");
const [cluster, out, ...more] = process.argv.slice(2);
if (cluster === undefined || out === undefined) throw new Error("usage: search-secrets.ts <cluster> <out> [folder …]");

await mkdir(path.join(out, "terminal"), { recursive: true });
const tickets = makeTempDir();
const pieces = new Map<string, string>();
for (const [index, ticket] of [...REQUESTS, ...OBJECTS].entries()) {
  const secret = made(ticket.what);
  for (const piece of piecesOf(secret)) pieces.set(piece, ticket.what);
  const file = path.join(tickets, `t${index}.yaml`);
  await writeFile(file, POLICIES(ticket.yaml?.(secret)));
  const token = ticket.token?.(secret);
  const { exitCode, all } = await execa(
    process.execPath,
    [
      ...["cli/meshproof.mjs", "repro", file, "--name", cluster, "--results", path.join(out, "results")],
      ...["--export", path.join(out, `export-${index}`), ...(index % 2 === 0 ? [] : ["--json"])],
      ...(token === undefined ? ["--curl", curlOf(ticket, secret)] : ["--request", "GET /", "--token", token]),
    ],
    { cwd: ROOT, reject: false, all: true, env: { DEBUG: "*" } },
  );
  await writeFile(path.join(out, "terminal", `${index}.txt`), all);
  console.log(`${index + 1}: ${ticket.what}: exit ${exitCode}`);
}

/** Reads in blocks that overlap: etcd's files are large. */
async function find(file: string): Promise<string | undefined> {
  let rest = "";
  for await (const block of createReadStream(file, "latin1")) {
    const text = rest + String(block);
    for (const [piece, what] of pieces) if (text.includes(piece)) return `${what} (${piece.slice(0, 3)}…)`;
    rest = text.slice(-32);
  }
  return undefined;
}

// The search itself must find what was given.
for (const [index, { what }] of OBJECTS.entries())
  if ((await find(path.join(tickets, `t${REQUESTS.length + index}.yaml`))) === undefined)
    throw new Error(`the search does not find the credential of "${what}" in the ticket itself`);

let searched = 0;
let found = 0;
for (const folder of [out, ...more])
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath, entry.name);
    const what = await find(file).catch(() => undefined);
    searched++;
    if (what === undefined) continue;
    found++;
    console.log(`FOUND a part of the credential of "${what}" in ${file}`);
  }
console.log(
  `${REQUESTS.length + OBJECTS.length} tickets, ${searched} files searched, ${found} with a part of a credential`,
);
process.exitCode = found === 0 ? 0 : 1;
