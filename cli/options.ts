/** Options of several verbs, and a function that creates a command. */

import { Command, CommanderError, Option } from "commander";
import { COMPONENT_SOURCES } from "../clusters/components/ways.ts";
import { DEFAULT_NAME, MADE_KINDS, SCENARIOS } from "./context.ts";

/** Creates a verb's command with examples below its help; cli/program.ts has the description. */
export function verb(name: string, examples: readonly string[]): Command {
  const shown = examples.map((example) => `  $ meshproof ${example}`).join("\n");
  return new Command(name).addHelpText("after", `\nExamples:\n${shown}`);
}

/** Thrown with a verb's exit code, because commander drops the return value of an action. */
export class Ended extends Error {
  readonly code: number;
  constructor(code: number) {
    super(`ended with ${code}`);
    this.code = code;
  }
}

/** Ends a command with a verb's exit code. @throws Ended */
export async function finish(verb: Promise<number>): Promise<never> {
  throw new Ended(await verb);
}

/** Options of more than one verb. Each call creates a new one. */
export const option = {
  scenarios: () =>
    new Option("--scenarios <folder>", "the folder of the scenarios").default(SCENARIOS, "meshproof's own"),
  made: () => new Option("--cluster <kind>", "kind of the kept cluster").choices(MADE_KINDS).default("embedded"),
  images: () => new Option("--images <source>", "kind: published, offline (built here), or a folder with archives"),
  imageMirror: () => new Option("--image-mirror <prefix>", "the registry that images are read from instead"),
  imageDigest: () =>
    new Option("--image-digest <name@digest>", "take an image by this digest; repeat it for more").argParser(digest),
  components: () =>
    new Option(
      "--components <way>",
      "embedded: what the cluster is made of comes from published images, is built from source, or auto: whichever can be had",
    ).choices(COMPONENT_SOURCES),
  kubernetes: () =>
    new Option("--kubernetes <version>", "kind: the node image's tag, such as v1.36.4, or v1.36.4@sha256:…"),
  istio: () => new Option("--istio <version>", "Istio's version, such as 1.30, or 1.29.2 out of its released images"),
  envoy: () =>
    new Option("--envoy <version>", "Envoy's version, such as 1.36, where it does not come with Istio's images"),
  kubeconfig: () => new Option("--kubeconfig <file>", "existing: the file that has the context"),
  context: () => new Option("--context <name>", "existing: the context to use; never the current one"),
  allowExec: () =>
    new Option(
      "--allow-exec <program>",
      "existing: a program that the context may run to log in, by its absolute path, or by its name in PATH",
    )
      .default([], "none")
      .argParser(collect),
  name: () => new Option("--name <cluster>", "name of the kept cluster").default(DEFAULT_NAME),
  tag: () =>
    new Option("-t, --tag <tag>", "only scenarios with this tag; repeat it for more")
      .default([], "all")
      .argParser(collect),
  lanes: () =>
    new Option(
      "--lanes <n>",
      "how many scenarios run side by side, each on workloads of its own (default: 2 for many on an embedded cluster, else 1)",
    ).argParser(lanes),
  json: () => new Option("--json", "print JSON"),
  install: () => new Option("--install", "install the programs that this machine lacks (as root), or say how"),
};

export function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

/** Collects `name:tag@sha256:…` into digests by name. */
function digest(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  const [, name, value] = /^([^@]+)@(sha256:[0-9a-f]{64})$/.exec(text) ?? [];
  if (name === undefined || value === undefined)
    throw new CommanderError(2, "meshproof.digest", `error: --image-digest takes NAME:TAG@sha256:…, not "${text}"`);
  return { ...before, [name]: value };
}

export function whole(text: string): number {
  if (!/^\d{1,4}$/.test(text))
    throw new CommanderError(2, "meshproof.whole", `error: a whole number below 10000 is needed, not "${text}"`);
  return Number(text);
}

/** Parses the number of lanes; each lane needs five pods or more. */
function lanes(text: string): number {
  if (!/^([1-9]|1[0-6])$/.test(text))
    throw new CommanderError(2, "meshproof.lanes", `error: --lanes takes a number from 1 to 16, not "${text}"`);
  return Number(text);
}

export function seconds(flag: string): (text: string) => number {
  return (text) => {
    const value = Number(/^(\d+(?:\.\d+)?)s?$/.exec(text)?.[1]);
    if (!(value > 0))
      throw new CommanderError(2, "meshproof.limit", `error: ${flag} takes seconds, such as 30 or 30s, not "${text}"`);
    return value;
  };
}
