/**
 * `npm run record` replaces the results that reports and docs are tested with (test/recorded): a run of all scenarios, a run of
 * scenarios that are broken on purpose, the tickets in docs, and an upgrade. Then it writes the generated files, as
 * `npm run update` does.
 *
 * `npm run record -- red tickets` records these alone. `--name NAME` uses a running cluster. `--masked` takes the raw results of
 * the last recording and only masks them again.
 */

import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import { execa } from "execa";
import { parse } from "shell-quote";
import { makeTempDir } from "../clusters/temp-dir.ts";
import { PROJECT, SCENARIOS } from "../cli/context.ts";
import type { RunResult } from "../harness/model/result.ts";
import { STATUSES } from "../reports/outcome.ts";
import { BREAKS, RED, UPGRADED } from "../test/recorded/broken.ts";
import { mask } from "../test/recorded/mask.ts";
import { MINIMIZED, RECORDED, TICKETS } from "../test/recorded/results.ts";
import { downAtSignal } from "./down-at-signal.ts";

interface Part {
  /** Runs meshproof, which writes its results into a folder. */
  record(results: string): Promise<void>;
  /** Masks the results of the runs and writes them to test/recorded. */
  keep(results: string): Promise<void>;
}

/** The results of the runs, not masked. Git ignores them. */
const RAW = path.join(PROJECT, "results/record");
const KNOWN_FAILURES = "test/recorded/known-failures.yaml";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { name: { type: "string" }, masked: { type: "boolean", default: false } },
});
const name = values.name ?? `record-${process.pid}`;
const broken = path.join(makeTempDir(), "scenarios");

const PARTS: Readonly<Record<string, Part>> = {
  whole: {
    record: (results) => meshproof(["run", "--name", name, "--results", results], 0),
    async keep(results) {
      const whole = await keepJson<RunResult>(results, "results.json", "whole", "20261128-020000-a001");
      const bad = STATUSES.filter((status) => status !== "passed" && whole.counts[status] > 0);
      if (bad.length > 0) throw new Error(`the whole run has checks that are ${bad.join(" and ")}: record it again`);
    },
  },
  red: {
    async record(results) {
      await breakScenarios();
      const options = ["--scenarios", broken, "--known-failures", KNOWN_FAILURES, "--name", name, "--results", results];
      await meshproof(["run", ...RED, ...options], 1);
    },
    async keep(results) {
      const red = await keepJson<RunResult>(results, "results.json", "red", "20261128-021500-b002");
      const missing = STATUSES.filter((status) => red.counts[status] === 0);
      if (missing.length > 0) throw new Error(`no check of the red run is ${missing.join(" or ")}: see broken.ts`);
    },
  },
  tickets: {
    async record(results) {
      for (const ticket of TICKETS) {
        const minimized = ticket === MINIMIZED;
        const example = minimized ? "health-check" : ticket;
        const command = await readFile(path.join(PROJECT, "docs/examples/tickets", example, "command.sh"), "utf8");
        const words = parse(command.replaceAll("\\\n", " ")).filter((word) => typeof word === "string" && word !== "");
        const [, ...args] = words as string[];
        const more = minimized ? ["--minimize"] : [];
        await meshproof([...args, ...more, "--name", name, "--results", path.join(results, ticket)], 1);
      }
    },
    async keep(results) {
      for (const [index, ticket] of TICKETS.entries())
        await keepJson(
          path.join(results, ticket),
          "repro.json",
          `ticket-${ticket}`,
          `20261128-1015${index}0-c00${index}`,
          /\/(?:ticket|sleep|istio-ingressgateway)-/,
        );
    },
  },
  upgrade: {
    record: (results) =>
      meshproof(
        [
          "upgrade",
          ...UPGRADED,
          "--from",
          "1.30@1.36",
          "--to",
          "1.31@1.40",
          "--results",
          results,
          "--name",
          `${name}-u`,
        ],
        0,
      ),
    async keep(results) {
      await keepJson(results, "upgrade.json", "upgrade", "20261127-102000-d001");
      await keepJson(results, "from/results.json", "upgrade-from", "20261127-102010-d002");
      await keepJson(results, "to/results.json", "upgrade-to", "20261127-102310-d003");
    },
  },
};

const parts = positionals.length > 0 ? positionals : Object.keys(PARTS);
const unknown = parts.filter((part) => PARTS[part] === undefined);
if (unknown.length > 0)
  throw new Error(`cannot record ${unknown.join(", ")}; expected some of: ${Object.keys(PARTS).join(", ")}`);
const ownCluster = values.name === undefined && !values.masked && parts.some((part) => part !== "upgrade");

if (ownCluster) downAtSignal(["--name", name]);
if (ownCluster) await meshproof(["up", "--name", name], 0);
try {
  for (const part of parts) {
    const results = path.join(RAW, part);
    if (!values.masked) {
      await rm(results, { recursive: true, force: true });
      await mkdir(results, { recursive: true });
      await PARTS[part]!.record(results);
    }
    await PARTS[part]!.keep(results);
  }
} finally {
  if (ownCluster) await meshproof(["down", "--name", name], 0);
}
await execa(process.execPath, ["cli/node24.mjs", "tools/update.ts"], { cwd: PROJECT, stdio: "inherit" });

async function meshproof(args: readonly string[], expected: number): Promise<void> {
  console.log(`── meshproof ${args.join(" ")}`);
  const { exitCode } = await execa(process.execPath, ["cli/meshproof.mjs", ...args], {
    cwd: PROJECT,
    stdio: ["ignore", "inherit", "inherit"],
    reject: false,
  });
  if (exitCode !== expected) throw new Error(`exit code ${exitCode}, expected ${expected}: record it again`);
}

async function breakScenarios(): Promise<void> {
  await cp(SCENARIOS, broken, { recursive: true });
  for (const { file, replace, by } of BREAKS) {
    const target = path.join(broken, file);
    const text = replace === "" ? "" : await readFile(target, "utf8");
    if (!text.includes(replace)) throw new Error(`${file} does not contain ${JSON.stringify(replace)}: see broken.ts`);
    await writeFile(target, replace === "" ? by : text.replaceAll(replace, by));
  }
}

/**
 * Writes one masked result; a large one compressed.
 * @param results a folder with the folder of one run
 * @param id what the run is called from now on; it begins with its time
 */
async function keepJson<Data>(results: string, file: string, kept: string, id: string, pods?: RegExp): Promise<Data> {
  const [folder = ""] = (await readdir(results)).filter((entry) => /^\d{8}-/.test(entry));
  const raw = JSON.parse(await readFile(path.join(results, folder, file), "utf8")) as Data;
  const startedAt = id.replace(/^(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d).*$/, "$1-$2-$3T$4:$5:$6.000Z");
  const masked = mask(raw, { id, startedAt, ...(pods && { pods }) });
  const text = `${JSON.stringify(masked, undefined, 2)}\n`;
  const target = path.join(RECORDED, `${kept}.json`);
  if (kept === "whole") await writeFile(`${target}.gz`, gzipSync(text, { level: 9 }));
  else await writeFile(target, text);
  console.log(`wrote ${path.relative(PROJECT, target)}`);
  return masked;
}
