import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { stringify } from "yaml";
import { Option } from "commander";
import { issuersDirsOf } from "../../harness/scenario/brought.ts";
import { MeshproofError } from "../../harness/model/errors.ts";
import { imageIn } from "../../harness/repro/stand-in.ts";
import { readIssuers } from "../../harness/tokens/issuer.ts";
import { CONFIG } from "../config.ts";
import { PROJECT, SCENARIOS } from "../context.ts";
import { firstScenario } from "../init/files.ts";
import { groupsOf, searchRepository } from "../init/find.ts";
import { finish, option, verb } from "../options.ts";
import { print, printOutput } from "../streams.ts";
import { create } from "./new.ts";

export const command = verb("init", ["init", "init --scenarios tests/mesh"])
  .addOption(new Option("--scenarios <folder>", "the folder of the scenarios to be").default("mesh-tests"))
  .addOption(option.json())
  .action(async (options: InitOptions) => finish(init(options)));

interface InitOptions {
  readonly scenarios: string;
  readonly json?: boolean;
}

const WORKFLOW = ".github/workflows/meshproof.yml";

/**
 * Sets up the repository of the working directory: a config, a first scenario for its own policies, and a workflow. Nothing is overwritten.
 * @throws ERR_USAGE where the folder of scenarios is not in the working directory
 */
export async function init({ scenarios, json }: InitOptions): Promise<number> {
  const root = process.cwd();
  const folder = path.resolve(scenarios);
  const shown = path.relative(root, folder);
  if (shown === "" || shown.startsWith(".."))
    throw new MeshproofError("ERR_USAGE", `--scenarios names a folder of this repository, not ${scenarios}`, {
      hint: "for example: meshproof init --scenarios mesh-tests",
    });
  const schema = path.join(PROJECT, "schema");
  const repository = searchRepository(root, shown);
  const [group] = groupsOf(repository);
  const { issuers } = await readIssuers(issuersDirsOf(folder));
  const first =
    group &&
    firstScenario(group, repository, {
      root,
      scenarios: folder,
      schema: path.join(schema, "scenario.schema.json"),
      issuers: new Map([...issuers.values()].map(({ iss, name }) => [iss, name])),
      image: imageIn(await readFile(path.join(SCENARIOS, "workloads/nginx-proxy/nginx-proxy.yaml"), "utf8")),
    });
  const config = configText(
    shown,
    path.relative(root, path.join(schema, "config.schema.json")),
    first?.namespaces ?? {},
  );
  const files = [await write(CONFIG, config)];
  for (const [file, text] of first?.files ?? []) files.push(await write(path.join(shown, file), text));
  if (first === undefined && !existsSync(path.join(folder, "team/first")))
    files.push(...(await create("team/first", shown)).map((file) => ({ file, written: true })));
  const byGitlab = existsSync(".gitlab-ci.yml");
  if (!byGitlab) files.push(await write(WORKFLOW, workflowText()));
  const found = [...(group?.authentications ?? []), ...(group?.authorizations ?? [])];
  const policies = found.map(({ object, file }) => ({ kind: object.kind, name: object.metadata.name, file }));
  const { templates } = repository;
  if (json === true) {
    printOutput("init", { files, policies, open: first?.open === true, templates });
    return 0;
  }
  for (const { file, written } of files) print(written ? `wrote ${file}` : `kept ${file}, which is there already`);
  if (byGitlab) print("this repository is built by GitLab: docs/ci/gitlab-ci.yml of meshproof is a job for it");
  if (group !== undefined) {
    print(
      `\nThe first scenario tests ${policies.map(({ kind, name, file }) => `${kind} ${name} (${file})`).join(", ")}.`,
    );
    print(
      first?.open === true
        ? "What its AuthorizationPolicies demand is not clear to meshproof: write what you expect into the last matrix."
        : "Its expectations are what the policies seem to demand: compare them with what you want.",
    );
  } else
    print(
      "\nThis repository has no RequestAuthentication or AuthorizationPolicy of a workload that can be read: the scenario is an example.",
    );
  for (const file of templates)
    print(`${file} is a template: a scenario applies the output of a command, such as command: [helm, template, …].`);
  print(`
Next:
  npx meshproof run          # starts a mesh on this machine and runs ${shown}
  npx meshproof up           # or: keep a mesh, so that each further run takes seconds
Add results/ to .gitignore. docs/your-own-policies.md explains the rest.`);
  return 0;
}

/** Never overwrites. @returns whether it wrote the file */
async function write(file: string, text: string): Promise<{ readonly file: string; readonly written: boolean }> {
  await mkdir(path.dirname(file), { recursive: true });
  try {
    await writeFile(file, text, { flag: "wx" });
    return { file, written: true };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    return { file, written: false };
  }
}

function configText(scenarios: string, schema: string, namespaces: Readonly<Record<string, string>>): string {
  const mapped =
    Object.keys(namespaces).length === 0
      ? '# namespaces: { shop: "${ns}" }   # what the namespaces of your policies are in scenarios\n'
      : `# What the namespaces of your policies are in scenarios: \${ns}, \${outside.ns}, istio-system, or absent.\n${stringify({ namespaces })}`;
  return `# yaml-language-server: $schema=${schema}
# What flags of meshproof run would say otherwise; flags win.
scenarios: ${scenarios}
${mapped}cluster: embedded               # or kind, or existing with a context
results: results
# istio: "1.30"                  # the versions of your mesh
# profile: istio                 # or asm@1.12: what your product promises
# knownFailures: known-failures.yaml
`;
}

function workflowText(): string {
  return `# Proves this repository's policies on a real mesh.
name: meshproof
on:
  pull_request:
  schedule:
    - cron: "17 2 * * *"
permissions:
  contents: read
jobs:
  policies:
    runs-on: ubuntu-latest
    timeout-minutes: 60
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-node@v4
        with:
          node-version: 24
          cache: npm
      - uses: actions/cache@v4
        with:
          path: ~/.cache/meshproof
          key: meshproof-\${{ runner.os }}-\${{ hashFiles('package-lock.json') }}
          restore-keys: meshproof-\${{ runner.os }}-
      - run: npm ci
      - run: sudo env "PATH=$PATH" npx meshproof doctor --install
      # Annotations and the step summary are written by the run itself.
      - run: npx meshproof run
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: meshproof-results
          path: results/
`;
}
