/** One ticket of `meshproof repro`: its options, its cluster and its page. */

import path from "node:path";
import { Option, type Command } from "commander";
import packageJson from "../package.json" with { type: "json" };
import type { WantedMesh } from "../clusters/components/components.ts";
import { makeTempDir } from "../clusters/temp-dir.ts";
import { MeshproofError } from "../harness/model/errors.ts";
import { JWKS_STATES, TOKEN_STATES, type Outcome, type Seen } from "../harness/model/ticket.ts";
import type { TokenPlace } from "../harness/model/token.ts";
import {
  readTicket,
  refuseExisting,
  translated,
  type ReproAnswer,
  type Ticket,
  type TicketOptions,
  type Translation,
} from "../harness/repro/index.ts";
import { prepareRepro, writeRepro } from "../reports/repro.ts";
import { openCluster } from "./cluster.ts";
import { commandOf } from "./command-line.ts";
import { SCENARIOS } from "./context.ts";
import { collect, option } from "./options.ts";
import { newRunId } from "./run-id.ts";
import type { Work } from "./work.ts";

export interface ReproOptions extends TicketOptions {
  readonly expect?: Outcome;
  readonly name?: string;
  readonly keep?: boolean;
  readonly json?: boolean;
  readonly minimize?: boolean;
  /** Versions of Istio to ask. */
  readonly against?: readonly string[];
  readonly export?: string;
  readonly results: string;
}

/** The options of a ticket's command, from the command line or from a ticket's command.sh. */
export function ticketOptions(command: Command): Command {
  return command
    .argument("[files...]", "a folder or files with the ticket's Kubernetes objects")
    .option("--request <request>", "METHOD and path, or METHOD and URL")
    .option("--curl <line>", "the curl line of the ticket instead; of its token only header and claims are used")
    .addOption(
      new Option("--header <line>", "a header, 'name: value'; repeat it for more")
        .default([], "none")
        .argParser(collect),
    )
    .option("--token <token>", "the ticket's token, or @FILE: only its header and claims are used")
    .option("--claims <json>", "the token's claims instead, or @FILE")
    .option("--in <place>", "where the request has that token: header:NAME, cookie:NAME or query:NAME")
    .option("--from <caller>", "who sends: NAMESPACE/SERVICEACCOUNT, outside (no sidecar) or gateway")
    .addOption(
      new Option(
        "--expect <answer>",
        "what the reporter expected: 200 (goes through), another status, or closed",
      ).argParser(outcome("--expect")),
    )
    .addOption(
      new Option("--seen <answer>", "what the reporter saw: a status, closed, or words of the answer").argParser(seen),
    )
    .addOption(new Option("--token-was <state>", "what the token was when the reporter sent it").choices(TOKEN_STATES))
    .addOption(
      new Option(
        "--authorizer <status>",
        "what the external authorizer of the ticket's CUSTOM policies answers: 200 allows, 302, 401, 403, …",
      ).argParser(statusOf("--authorizer")),
    )
    .addOption(
      new Option("--jwks <state>", `what a jwksUri answers: ${JWKS_STATES.join(", ")}; or ISSUER=STATE, repeatable`)
        .default([], "reachable")
        .argParser(collect),
    )
    .option("--name <cluster>", "a kept cluster to use, or the name of a new one to keep")
    .option("--keep", "leave the cluster running for the next ticket")
    .option("--minimize", "drop what is needless for this answer; each try takes seconds")
    .addOption(
      new Option("--against <istio>", "ask this version of Istio, or ISTIO@ENVOY; repeat it for answers side by side")
        .default([], "the newest")
        .argParser(collect),
    )
    .option("--results <folder>", "where the page and the answer are written, a folder per ticket", "results")
    .option("--export <folder>", "write the scenario, the page, the answer, curl lines and versions there")
    .addOption(option.json());
}

/** An HTTP status or `closed`. */
function outcome(flag: string): (text: string) => Outcome {
  return (text) => {
    if (text === "closed") return text;
    if (STATUS.test(text)) return Number(text);
    throw new MeshproofError("ERR_USAGE", `${flag} takes an HTTP status or "closed", not "${text}"`);
  };
}

/** An outcome, or a text such as `Jwt is expired`. */
function seen(text: string): Seen {
  if (/^(\d+|closed)$/.test(text)) return outcome("--seen")(text);
  // A token may be in a whole answer that was pasted.
  if (/^[ -~]{3,100}$/.test(text) && !/eyJ/.test(text)) return { text };
  throw new MeshproofError(
    "ERR_USAGE",
    "--seen takes an HTTP status, closed, or a few words of the answer on one line",
  );
}

/** Status codes of final answers. */
const STATUS = /^[1-5]\d\d$/;

function statusOf(flag: string): (text: string) => number {
  return (text) => {
    if (STATUS.test(text)) return Number(text);
    throw new MeshproofError("ERR_USAGE", `${flag} takes an HTTP status, not "${text}"`);
  };
}

/** Reads all of standard input. */
async function readStdin(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}

interface Asked {
  readonly answer: ReproAnswer;
  readonly translation: Translation;
  /** Path of the page. */
  readonly html: string;
}

/**
 * Reproduces one ticket, and writes its page into a new folder below `--results`.
 * @throws MeshproofError ERR_USAGE, ERR_MANIFEST_REJECTED, and what opening a cluster throws
 */
export async function askTicket(files: readonly string[], options: ReproOptions, work: Work): Promise<Asked> {
  return await askAbout(await readTicketOf(files, options), files, options, work);
}

/** @throws MeshproofError ERR_USAGE for an invalid ticket, before a cluster is started */
export async function readTicketOf(files: readonly string[], options: ReproOptions): Promise<Ticket> {
  if (files.length === 0) throw new MeshproofError("ERR_USAGE", "name the ticket's YAML: a folder or files");
  const ticket = await readTicket(files, options, SCENARIOS, readStdin);
  if (options.export !== undefined) await refuseExisting(options.export);
  const { exported, topology } = translated(files, ticket);
  if (options.export !== undefined && topology.passage !== undefined && "why" in exported)
    throw new MeshproofError("ERR_USAGE", `this ticket cannot be exported: ${exported.why}`, {
      hint: "without --export it is answered; its page is in the results folder",
    });
  return ticket;
}

interface Where {
  /** The versions of a new cluster; default the newest. */
  readonly mesh?: WantedMesh;
  /** The folder of the page; default a new one below `--results`. */
  readonly dir?: string;
}

/** Reproduces a ticket that was read, and writes its page. @throws MeshproofError like {@link askTicket} */
export async function askAbout(
  ticket: Ticket,
  files: readonly string[],
  options: ReproOptions,
  work: Work,
  { mesh = {}, dir }: Where = {},
): Promise<Asked> {
  const { name, expect, seen, minimize = false } = options;
  const keep = options.keep ?? name !== undefined;
  const opened = openCluster(
    { cluster: "embedded", ...(name !== undefined && { name }), keep, ...mesh },
    { id: newRunId(), verb: "repro" },
    work,
  );
  opened.catch(() => undefined); // reported where it is awaited
  const open = async () => {
    const { cluster, signal, started } = await opened;
    return { cluster, signal, stays: keep || !started };
  };
  // The cluster opens while the Kubernetes client loads.
  const { repro } = await import("../harness/repro/repro.ts");
  const found = await repro(
    {
      ...{ ticket, files, minimize, version: packageJson.version, scenariosRoot: SCENARIOS },
      command: againBy(files, options, ticket),
      wanted: { expected: expect, seen },
    },
    { open, tempDir: makeTempDir, newId: newRunId, progress: work.progress },
  );
  const answer = prepareRepro(found.answer);
  const { html } = await writeRepro(answer, dir ?? path.resolve(options.results, answer.id));
  return { answer, translation: found.translation, html };
}

type ReproCommand = Pick<
  ReproOptions,
  | "token"
  | "claims"
  | "expect"
  | "seen"
  | "jwks"
  | "authorizer"
  | "minimize"
  | "name"
  | "from"
  | "in"
  | "tokenWas"
  | "against"
>;

/**
 * The command that repeats this: with the parts read from the curl line instead of the line, which may contain passwords, and
 * with a token without its signature, which is not used.
 */
export function againBy(
  files: readonly string[],
  { token, claims, expect, seen, jwks, authorizer, minimize, name, from, in: where, tokenWas, against }: ReproCommand,
  { request }: Pick<Ticket, "request">,
): string {
  const { method, path: target, scheme, variable, authority = variable, host, headers, tokens } = request;
  const written = tokens.find(({ value }) => value.kind === "jwt")?.value;
  const compact = token ?? (written?.kind === "jwt" ? written.compact : undefined);
  const unsigned =
    compact?.startsWith("@") === true ? compact : compact?.trim().replace(/^(?:Bearer +)?([^.]*\.[^.]*).*$/is, "$1.");
  const known = claims ?? unsigned;
  const place = where ?? (known === undefined ? undefined : tokens.map(({ place: at }) => nameOfPlace(at))[0]);
  const opaque = tokens.slice(known === undefined ? 0 : 1).map(({ place: at }) => headerOf(at));
  return commandOf("repro", files, {
    "--request": `${method} ${authority === undefined ? "" : `${scheme}://${authority}`}${target}`,
    "--header": [
      ...(host === undefined ? [] : [`Host: ${host}`]),
      ...headers.map(([header, value]) => `${header}: ${value}`),
      ...opaque.filter((line) => line !== undefined),
    ],
    ...(claims !== undefined ? { "--claims": claims } : { "--token": unsigned }),
    ...{ "--in": place, "--from": from },
    ...{ "--expect": text(expect), "--seen": text(seen), "--token-was": tokenWas, "--jwks": jwks },
    ...{ "--authorizer": authorizer === undefined ? undefined : String(authorizer) },
    ...{ "--minimize": minimize, "--name": name, "--against": against },
  });
}

function text(value: Seen | undefined): string | undefined {
  return value === undefined ? undefined : typeof value === "object" ? value.text : String(value);
}

function nameOfPlace(place: TokenPlace): string | undefined {
  if ("cookie" in place) return `cookie:${place.cookie}`;
  if ("query" in place) return `query:${place.query}`;
  return place.header.toLowerCase() === "authorization" ? undefined : `header:${place.header}`;
}

/** A header without its credential, for one that is not a JWT. */
function headerOf(place: TokenPlace): string | undefined {
  if ("cookie" in place) return `Cookie: ${place.cookie}=this-is-not-a-jwt`;
  return "header" in place ? `${place.header}: ${place.prefix ?? ""}this-is-not-a-jwt` : undefined;
}
