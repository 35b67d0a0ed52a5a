/** The verbs: what each takes, and which file does it. Each verb is loaded when it is called, so that the others start quickly. */

import { Command, CommanderError, Option } from "commander";
import packageJson from "../package.json" with { type: "json" };
import { DEFAULT_NAME, MADE_KINDS, SCENARIOS } from "./context.ts";
import { explain } from "./explain.ts";
import { guardStreams, leave, print, warn } from "./streams.ts";

const EXIT_CODES = `
Exit codes:
  0    every check agrees with the documentation
  1    a check failed or flaked
  2    usage, an invalid scenario, or nothing selected
  3    the environment: a program is missing, the cluster does not start, …
  130  interrupted`;

function buildProgram(): Command {
  const program = new Command("meshproof")
    .description(packageJson.description)
    .version(packageJson.version)
    .enablePositionalOptions()
    // What was typed may have been made by a program.
    .configureOutput({ writeOut: (text) => print(text.trimEnd()), writeErr: (text) => warn(text.trimEnd()) })
    .showHelpAfterError("(--help shows what there is)")
    .addHelpText("after", EXIT_CODES);

  /** A verb with examples below its help. */
  const verb = (usage: string, description: string, examples: readonly string[]): Command =>
    program
      .command(usage)
      .description(description)
      .addHelpText("after", `\nExamples:\n${examples.map((example) => `  $ meshproof ${example}`).join("\n")}`);
  const scenarios = (): Option =>
    new Option("--scenarios <folder>", "where the scenarios are").default(SCENARIOS, "the ones that meshproof brings");
  const made = (): Option =>
    new Option("--cluster <kind>", "kind of the kept cluster").choices(MADE_KINDS).default("embedded");
  const images = (): Option =>
    new Option("--images <source>", "kind: published, offline (built here), or a folder with archives");
  const imageMirror = (): Option =>
    new Option("--image-mirror <prefix>", "the registry that images are read from instead");
  const imageDigest = (): Option =>
    new Option("--image-digest <name@digest>", "take an image by this digest; repeat it for more").argParser(digest);
  const kubernetes = (): Option =>
    new Option("--kubernetes <version>", "kind: the node image's tag, such as v1.36.4, or v1.36.4@sha256:…");
  const istio = (): Option =>
    new Option("--istio <version>", "Istio's version, such as 1.30, or 1.29.2 out of its released images");
  const envoy = (): Option =>
    new Option("--envoy <version>", "Envoy's version, such as 1.36, where it does not come with Istio's images");
  const kubeconfig = (): Option => new Option("--kubeconfig <file>", "existing: where the context stands");
  const context = (): Option => new Option("--context <name>", "existing: the context to use; never the current one");
  const allowExec = (): Option =>
    new Option(
      "--allow-exec <program>",
      "existing: a program that the context may run to log in, by its absolute path, or by its name in PATH",
    )
      .default([], "none")
      .argParser((value: string, before: string[]) => [...before, value]);
  const name = (): Option => new Option("--name <cluster>", "name of the kept cluster").default(DEFAULT_NAME);
  const tag = (): Option =>
    new Option("-t, --tag <tag>", "only scenarios with this tag; repeat it for more")
      .default([], "all")
      .argParser((value: string, before: string[]) => [...before, value]);
  const json = (): Option => new Option("--json", "print JSON");
  const install = (): Option =>
    new Option("--install", "install the programs that this machine lacks (as root), or say how");

  verb("run", "run scenarios and write the reports", [
    "run",
    "run paths/skip-jwt-for-paths --keep",
    "run 'jwt/*' --tag documented --results out",
  ])
    .argument("[names...]", "scenarios: ids, groups, names or globs (default: all)")
    .addOption(tag())
    .addOption(new Option("--cluster <kind>", "where to run").choices([...MADE_KINDS, "existing"]).default("embedded"))
    .option("--name <cluster>", "a kept cluster to run on, or the name of a new one")
    .option("--keep", "leave the cluster running for the next run")
    .addOption(istio())
    .addOption(envoy())
    .addOption(images())
    .addOption(imageMirror())
    .addOption(imageDigest())
    .addOption(kubernetes())
    .addOption(kubeconfig())
    .addOption(context())
    .addOption(allowExec())
    .option("--revision <name>", "existing: istiod's revision, where the mesh has several")
    .option("--allow-mesh-wide", "existing: allow scenarios whose objects reach beyond the run's own namespaces")
    .option("--profile <profile>", "what the mesh promises: istio, asm, or asm@VERSION", "istio")
    .option("--results <folder>", "where reports are written, a folder per run", "results")
    .option("--shard <i/n>", "only the i-th of n parts of the selection; meshproof merge puts the results together")
    .option("--rerun-failed <results>", "only what failed, flaked or ended in an error in that run")
    .option("--ignore-missing", "with --rerun-failed: leave out what failed there and is no scenario any more")
    .option("--known-failures <file>", "YAML: failures that somebody answers for, each until a date")
    .addOption(
      new Option("--limit <seconds>", "how long a step may take to agree with what it expects").argParser(
        seconds("--limit"),
      ),
    )
    .addOption(
      new Option(
        "--push-limit <seconds>",
        "how long istiod and the proxies may take to put a step into force",
      ).argParser(seconds("--limit")),
    )
    .addOption(install())
    .addOption(scenarios())
    .action(async (names: string[], options) => finish((await import("./verbs/run.ts")).run(names, options)));

  verb("up", "start a cluster with the mesh and the workloads, and keep it", ["up", "up --name other --istio 1.30"])
    .addOption(made())
    .addOption(name())
    .addOption(istio())
    .addOption(envoy())
    .addOption(images())
    .addOption(imageMirror())
    .addOption(imageDigest())
    .addOption(kubernetes())
    .addOption(install())
    .addOption(scenarios())
    .action(async (options) => finish((await import("./verbs/up.ts")).up(options)));

  verb("down", "stop a kept cluster", ["down", "down --name other"])
    .addOption(made())
    .addOption(name())
    .option("--force", "stop it although a run is at work on it, or although its API server does not answer")
    .action(async (options) => finish((await import("./verbs/down.ts")).down(options)));

  verb("upgrade", "upgrade a mesh between two runs, while requests go on that must be admitted or refused", [
    "upgrade --from 1.30 --to 1.31",
    "upgrade 'jwt/*' --from 1.30@1.36 --to 1.31@1.40 --strategy revision",
    "upgrade --cluster kind --from 1.30.1 --to 1.31.0",
  ])
    .argument("[names...]", "scenarios: ids, groups, names or globs (default: those with the tag documented)")
    .addOption(tag())
    .requiredOption("--from <istio>", "the version to start with; ISTIO@ENVOY chooses Envoy's too")
    .requiredOption("--to <istio>", "the version to upgrade to, likewise")
    .addOption(new Option("--cluster <kind>", "where to do it").choices(MADE_KINDS).default("embedded"))
    .addOption(images())
    .addOption(imageMirror())
    .addOption(imageDigest())
    .addOption(kubernetes())
    .addOption(
      new Option("--strategy <strategy>", "replace istiod, or bring up a second one and move to it")
        .choices(["in-place", "revision"])
        .default("in-place"),
    )
    .addOption(
      new Option("--rate <requests>", "how many a second, of those to be admitted and of those to be refused")
        .argParser((text: string) => Math.max(1, whole(text)))
        .default(20),
    )
    .addOption(
      new Option(
        "--max-unavailable <requests>",
        "how many that must be admitted may fail: a number, or a share",
      ).default("1%"),
    )
    .option("--name <cluster>", "the cluster's name while it runs")
    .option("--results <folder>", "where reports are written, a folder per upgrade", "results")
    .addOption(install())
    .addOption(scenarios())
    .action(async (names: string[], options) => finish((await import("./verbs/upgrade.ts")).upgrade(names, options)));

  verb("list", "list the scenarios", ["list", "list 'jwt/*'", "list --tag documented --json"])
    .argument("[names...]", "scenarios: ids, groups, names or globs (default: all)")
    .addOption(tag())
    .addOption(json())
    .addOption(scenarios())
    .action(async (names: string[], options) => finish((await import("./verbs/list.ts")).list(names, options)));

  verb("merge", "put the results of shards together, and write all reports", [
    "merge shard-1/latest shard-2/latest --out results/merged",
  ])
    .argument("<results...>", "folders of runs, or their results.json")
    .requiredOption("--out <folder>", "where the reports are written")
    .action(async (places: string[], options) => finish((await import("./verbs/merge.ts")).merge(places, options)));

  verb("trend", "say what fails since when, and how long enforcing took, over many runs", [
    "trend results",
    "trend results --out results",
    "trend results --json",
  ])
    .argument("<folder>", "a folder of runs, such as results")
    .addOption(json())
    .option("--out <folder>", "write trend.html and trend.json there")
    .action(async (folder: string, options) => finish((await import("./verbs/trend.ts")).trend(folder, options)));

  verb("diff", "say what changed from one run to another, and whether that is known", [
    "diff results/20261124-010000-aaaa results/latest",
    "diff before/results.json after/results.json --out changes",
  ])
    .argument("<before>", "a run's folder, or its results.json")
    .argument("<after>", "the same, of the later run")
    .addOption(json())
    .addOption(new Option("--markdown", "print Markdown").conflicts("json"))
    .option("--out <folder>", "write diff.html, diff.md and diff.json there")
    .option("--known-changes <file>", "more changes to expect, beside the list that meshproof brings")
    .action(async (before: string, after: string, options) =>
      finish((await import("./verbs/diff.ts")).diff(before, after, options)),
    );

  verb("explain", "say what a proxy does with a request, and which token rule or policy decides", [
    "explain --config-dump dump.json --request 'GET /headers' --token @token.jwt --peer cluster.local/ns/foo/sa/sleep",
    "explain --config-dump dump.json --request 'GET http://httpbin.foo:8000/headers' --claims '{\"iss\":\"me\"}' --json",
    "explain --pod foo/httpbin-b6b6cd8c5-bh9dh --request 'GET /headers'",
  ])
    .option("--config-dump <file>", "a saved /config_dump of the proxy")
    .option("--pod <namespace/name>", "ask this pod's proxy instead")
    .requiredOption("--request <request>", "METHOD and path, or METHOD and URL where a policy looks at the host")
    .option("--header <line>", "a header, 'name: value'; repeat it for more", collect, [])
    .option("--token <token>", "the token in Authorization, or @FILE that holds it")
    .option("--claims <json>", "the token's claims instead, its signature taken for good")
    .option("--port <number>", "the workload's port, or the gateway's; default the only one", Number)
    .option("--peer <principal>", "who asks, by mTLS; without it the connection is plain text")
    .option("--source-ip <address>", "where the connection comes from")
    .option("--destination-ip <address>", "the address that was asked")
    .option("--sni <name>", "the server name of the TLS handshake")
    .addOption(
      new Option("--cluster <kind>", "where the pod is").choices([...MADE_KINDS, "existing"]).default("embedded"),
    )
    .addOption(name())
    .addOption(kubeconfig())
    .addOption(context())
    .addOption(allowExec())
    .addOption(json())
    .action(async (options) => finish((await import("./verbs/explain.ts")).explainVerb(options)));

  verb("repro", "reproduce a ticket: whose YAML and request, which answer, and why", [
    "repro ticket/ --request 'GET /orders' --token @token.jwt --expect 200",
    "repro policies.yaml --curl \"curl -H 'Authorization: Bearer eyJ…' https://shop.example/orders\"",
    "repro ticket/ --request 'GET /orders' --claims '{\"iss\":\"https://me.example\"}' --export kept",
    "repro ticket/ --request 'GET /orders' --minimize",
  ])
    .argument("<files...>", "a folder or files with the ticket's Kubernetes objects")
    .option("--request <request>", "METHOD and path, or METHOD and URL")
    .option("--curl <line>", "the curl line of the ticket instead; of its token only header and claims are used")
    .option("--header <line>", "a header, 'name: value'; repeat it for more", collect, [])
    .option("--token <token>", "the ticket's token, or @FILE: only its header and claims are used")
    .option("--claims <json>", "the token's claims instead, or @FILE")
    .addOption(
      new Option("--expect <status>", "what the reporter expected: 200 (goes through), 401 or 403").choices([
        "200",
        "401",
        "403",
      ]),
    )
    .addOption(
      new Option("--jwks <state>", "whether a jwksUri answers")
        .choices(["reachable", "unreachable"])
        .default("reachable"),
    )
    .option("--name <cluster>", "a kept cluster to use, or the name of a new one to keep")
    .option("--keep", "leave the cluster running for the next ticket")
    .option("--minimize", "drop what is needless for this answer; each try takes seconds")
    .option("--results <folder>", "where the page and the answer are written, a folder per ticket", "results")
    .option("--export <folder>", "write the scenario, the page, the answer, curl lines and versions there")
    .addOption(json())
    .action(async (files: string[], options) => finish((await import("./verbs/repro.ts")).repro(files, options)));

  verb("new", "write a scenario that runs, to be changed into your own", [
    "new jwt/audience-must-match",
    "new team/orders --scenarios my-scenarios",
  ])
    .argument("<id>", "<group>/<name>")
    .addOption(scenarios())
    .action(async (id: string, options) => finish((await import("./verbs/new.ts")).create(id, options)));

  verb("lint", "find what is wrong with scenarios, without a cluster", ["lint", "lint --scenarios my-scenarios"])
    .addOption(scenarios())
    .action(async (options) => finish((await import("./verbs/lint.ts")).lint(options)));

  verb("render", "print a scenario's manifests as they are applied", [
    "render jwt/algorithms",
    "render jwt/algorithms | kubectl apply -f -",
  ])
    .argument("<scenario>", "its id or name")
    .addOption(scenarios())
    .action(async (scenario: string, options) => finish((await import("./verbs/render.ts")).render(scenario, options)));

  verb("cleanup", "remove what killed runs left on clusters that exist", [
    "cleanup",
    "cleanup 20261125-080024-6455",
    "cleanup --context NAME",
  ])
    .argument("[run]", "the run's id (default: all that have ended)")
    .addOption(kubeconfig())
    .addOption(
      new Option(
        "--context <name>",
        "what runs of any machine left on this cluster (default: what runs of this machine left)",
      ),
    )
    .addOption(allowExec())
    .action(async (run: string | undefined, options) =>
      finish((await import("./verbs/cleanup.ts")).cleanup(run, options)),
    );

  verb("doctor", "say what this machine has and lacks, or what a cluster is and what a run would do there", [
    "doctor",
    "doctor --install",
    "doctor --cluster existing --context NAME",
  ])
    .addOption(new Option("--cluster <kind>", "what to look at").choices(["embedded", "existing"]).default("embedded"))
    .addOption(kubeconfig())
    .addOption(context())
    .addOption(allowExec())
    .addOption(install())
    .action(async (options) => finish((await import("./verbs/doctor.ts")).doctor(options)));

  verb("components", "list the programs that the embedded cluster is made of", [
    "components",
    "components --build --istio 1.30 --envoy 1.36",
    "components --refresh --istio 1.29.2",
    "components --verify",
    "components --json",
  ])
    .option("--build", "build what is missing; a run does so by itself")
    .option("--refresh", "like --build, and ask the registry again which images a released Istio's tags lead to")
    .option("--verify", "read everything again and compare it with its checksums")
    .option("--clean", "remove what no current component needs from the cache")
    .addOption(istio())
    .addOption(envoy())
    .addOption(imageMirror())
    .addOption(imageDigest())
    .addOption(json())
    .action(async (options) => finish((await import("./verbs/components.ts")).components(options)));

  verb("images", "list the images of a kind cluster, or build them here without a registry", [
    "images",
    "images --image-mirror mirror.example/hub",
    "images --resolve",
    "images --build",
  ])
    .addOption(new Option("--cluster <kind>", "kind of cluster").choices(["kind"]).default("kind"))
    .option("--build", "build the node image and all images in it from Debian packages and components")
    .option("--resolve", "ask the registry which digests the tags have now")
    .addOption(imageMirror())
    .addOption(imageDigest())
    .addOption(kubernetes())
    .addOption(json())
    .action(async (options) => finish((await import("./verbs/images.ts")).images(options)));

  verb("kubectl", "run kubectl against a kept cluster; everything behind is kubectl's own", [
    "kubectl get pods -A",
    "kubectl exec -n foo deploy/sleep -c sleep -- curl -s httpbin:8000/headers",
    "kubectl --name other get nodes",
  ])
    .argument("[arguments...]", "what kubectl takes")
    .addOption(made())
    .addOption(name())
    .passThroughOptions()
    .allowUnknownOption()
    .action(async (args: string[], options) => finish((await import("./verbs/kubectl.ts")).kubectl(args, options)));

  return program;
}

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

/** Collects `name:tag@sha256:…` into digests by name. */
function digest(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  const [, name, value] = /^([^@]+)@(sha256:[0-9a-f]{64})$/.exec(text) ?? [];
  if (name === undefined || value === undefined)
    throw new CommanderError(2, "meshproof.digest", `error: --image-digest takes NAME:TAG@sha256:…, not "${text}"`);
  return { ...before, [name]: value };
}

function whole(text: string): number {
  if (!/^\d{1,4}$/.test(text))
    throw new CommanderError(2, "meshproof.whole", `error: a whole number below 10000 is needed, not "${text}"`);
  return Number(text);
}

function seconds(flag: string): (text: string) => number {
  return (text) => {
    const value = Number(/^(\d+(?:\.\d+)?)s?$/.exec(text)?.[1]);
    if (!(value > 0))
      throw new CommanderError(2, "meshproof.limit", `error: ${flag} takes seconds, such as 30 or 30s, not "${text}"`);
    return value;
  };
}

/** A verb gives its exit code. */
async function finish(verb: Promise<number>): Promise<never> {
  return leave(await verb);
}

guardStreams();
try {
  const program = buildProgram();
  for (const command of [program, ...program.commands]) command.exitOverride();
  await program.parseAsync();
} catch (error) {
  await leave(explain(error));
}
