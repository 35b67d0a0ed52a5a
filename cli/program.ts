/** The verbs. Each file in verbs/ exports its command; only the called one is imported, so that it starts quickly. */

import { Command } from "commander";
import packageJson from "../package.json" with { type: "json" };
import { useConfig } from "./config.ts";
import { explain } from "./explain.ts";
import { Ended } from "./options.ts";
import { print, warn } from "./streams.ts";

const VERBS: Readonly<
  Record<string, { readonly does: string; readonly load: () => Promise<{ readonly command: Command }> }>
> = {
  run: {
    does: "run scenarios and write the reports",
    load: () => import("./verbs/run.ts"),
  },
  up: {
    does: "start a cluster with the mesh and the workloads, and keep it",
    load: () => import("./verbs/up.ts"),
  },
  down: {
    does: "stop a kept cluster",
    load: () => import("./verbs/down.ts"),
  },
  upgrade: {
    does: "upgrade a mesh between two runs, while requests go on that must be admitted or refused",
    load: () => import("./verbs/upgrade.ts"),
  },
  list: {
    does: "list the scenarios",
    load: () => import("./verbs/list.ts"),
  },
  check: {
    does: "answer the requests of scenarios by the proxies' config alone, without a cluster",
    load: () => import("./verbs/check.ts"),
  },
  merge: {
    does: "put the results of shards together, and write all reports",
    load: () => import("./verbs/merge.ts"),
  },
  trend: {
    does: "say what fails since when, and how long enforcing took, over many runs",
    load: () => import("./verbs/trend.ts"),
  },
  matrix: {
    does: "show scenarios against versions of Istio and Envoy, by runs that exist or new ones",
    load: () => import("./verbs/matrix.ts"),
  },
  diff: {
    does: "say what changed from one run to another, and whether that is known",
    load: () => import("./verbs/diff.ts"),
  },
  explain: {
    does: "say what a proxy does with a request, and which token rule or policy decides",
    load: () => import("./verbs/explain.ts"),
  },
  repro: {
    does: "reproduce a ticket: whose YAML and request, which answer, and why",
    load: () => import("./verbs/repro.ts"),
  },
  init: {
    does: "set up a repository: a config, a first scenario for its own policies, and a workflow",
    load: () => import("./verbs/init.ts"),
  },
  new: {
    does: "write a scenario that runs, to be changed into your own",
    load: () => import("./verbs/new.ts"),
  },
  lint: {
    does: "find what is wrong with scenarios, without a cluster",
    load: () => import("./verbs/lint.ts"),
  },
  render: {
    does: "print a scenario's manifests as they are applied",
    load: () => import("./verbs/render.ts"),
  },
  cleanup: {
    does: "remove what killed runs left on clusters that exist",
    load: () => import("./verbs/cleanup.ts"),
  },
  doctor: {
    does: "say what this machine has and lacks, or what a cluster is and what a run would do there",
    load: () => import("./verbs/doctor.ts"),
  },
  components: {
    does: "list the programs that the embedded cluster is made of",
    load: () => import("./verbs/components.ts"),
  },
  images: {
    does: "list the images of a kind cluster, or build them here without a registry",
    load: () => import("./verbs/images.ts"),
  },
  kubectl: {
    does: "run kubectl against a kept cluster; everything behind is kubectl's own",
    load: () => import("./verbs/kubectl.ts"),
  },
};

const EXIT_CODES = `
Exit codes:
  0    every check agrees with the documentation
  1    a check failed or flaked
  2    usage, an invalid scenario, or nothing selected
  3    the environment: a program is missing, the cluster does not start, …
  4    check: nothing differs, and something is undecided; repro: not reproduced
  130  interrupted`;

/** @param called the verb, if one is named; the others are only listed in the help */
async function buildProgram(called: string | undefined, asksVersion: boolean): Promise<Command> {
  const program = new Command("meshproof")
    .description(packageJson.description)
    .version(asksVersion ? await (await import("./version.ts")).version() : "")
    .enablePositionalOptions()
    .showHelpAfterError("(--help shows what there is)")
    .addHelpText("after", EXIT_CODES);
  for (const [name, { does, load }] of Object.entries(VERBS))
    program.addCommand((name === called ? (await load()).command : new Command(name)).description(does));
  for (const command of [program, ...program.commands])
    command
      // The arguments may be hostile text.
      .configureOutput({ writeOut: (text) => print(text.trimEnd()), writeErr: (text) => warn(text.trimEnd()) })
      .showHelpAfterError("(--help shows what there is)")
      .exitOverride();
  return program;
}

/**
 * Runs a command line.
 * @param args the arguments after the program's name
 * @returns the exit code
 */
export async function main(args: readonly string[]): Promise<number> {
  try {
    const words = args.filter((word) => !word.startsWith("-"));
    const program = await buildProgram(words[0] === "help" ? words[1] : words[0], words.length === 0);
    program.hook("preAction", (_, command) => useConfig(command));
    await program.parseAsync(args, { from: "user" });
    return 0;
  } catch (error) {
    // What is behind kubectl is kubectl's own.
    const json = args.includes("--json") && args[0] !== "kubectl";
    return error instanceof Ended ? error.code : explain(error, { json });
  }
}
