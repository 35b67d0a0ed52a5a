/** The issuers of `scenarios/issuers/*.yaml`. */

import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Shape } from "../scenario/notation.ts";
import type { Problem } from "../scenario/problem.ts";
import { checkShape } from "../scenario/shape.ts";
import { parseSource } from "../scenario/source.ts";
import { ALGORITHMS } from "./names.ts";
import type { Algorithm } from "./names.ts";

/** A key of an issuer. Without `privateKey` it is made in memory for the run. */
export interface IssuerKey {
  /** Unique among the issuer's keys (RFC 7517 section 4.5). */
  readonly kid: string;
  readonly alg: Algorithm;
  /** A PEM file (PKCS #8 or PKCS #1) beside the issuer's file: only for keys that are published anyhow. */
  readonly privateKey?: string;
}

export interface Issuer {
  /** The file's name without `.yaml`. */
  readonly name: string;
  /** The claim `iss`. */
  readonly iss: string;
  readonly keys: readonly IssuerKey[];
  /** Claims of every token of this issuer unless a token says otherwise. */
  readonly claims: Readonly<Record<string, unknown>>;
  /** A JWKS file beside the issuer's file, served and inlined verbatim instead of one made from the keys. */
  readonly jwks?: string;
  /** A file beside the issuer's file with a token that the issuer published. */
  readonly publishedToken?: string;
  /** Where published keys and tokens come from. */
  readonly origin?: string;
}

const file = (description: string, ending: string): Shape => ({
  type: "string",
  title: `the name of a ${ending} file beside the issuer's`,
  pattern: `^(?!\\.)[A-Za-z0-9._-]+\\${ending}$`,
  description,
});

const ISSUER_SHAPE: Shape = {
  type: "object",
  additionalProperties: false,
  required: ["iss", "keys"],
  properties: {
    iss: { type: "string", minLength: 1 },
    origin: { type: "string", minLength: 1 },
    claims: { type: "object" },
    jwks: file("Published JWKS, verbatim.", ".json"),
    publishedToken: file("Published token.", ".jwt"),
    keys: {
      type: "array",
      minItems: 1,
      items: {
        type: "object",
        additionalProperties: false,
        required: ["kid", "alg"],
        properties: {
          kid: { type: "string", minLength: 1 },
          alg: { type: "string", enum: ALGORITHMS },
          privateKey: file("Published private key.", ".pem"),
        },
      },
    },
  },
};

/**
 * Reads every issuer of a folder; a folder that does not exist holds none.
 * @param base what the problems' file names are relative to
 */
export async function readIssuers(
  folder: string,
  nameFile: (path: string) => string = (path) => path,
): Promise<{ issuers: ReadonlyMap<string, Issuer>; problems: Problem[] }> {
  const issuers = new Map<string, Issuer>();
  const problems: Problem[] = [];
  const files = await readdir(folder).catch(() => []);
  for (const entry of files.filter((name) => name.endsWith(".yaml")).sort()) {
    const path = join(folder, entry);
    const { issuer, problems: found } = parseIssuer(
      await readFile(path, "utf8"),
      basename(entry, ".yaml"),
      nameFile(path),
    );
    problems.push(...found);
    if (issuer !== undefined) issuers.set(issuer.name, issuer);
  }
  return { issuers, problems };
}

/** One issuer's file; `issuer` is undefined where there are problems. */
export function parseIssuer(text: string, name: string, file: string): { issuer?: Issuer; problems: Problem[] } {
  const source = parseSource(text, file);
  const problems: Problem[] = [...source.problems];
  const contents = source.documents[0]?.contents;
  for (const { offset, ...problem } of checkShape(contents, ISSUER_SHAPE, "the issuer"))
    problems.push({ position: source.positionAt(offset), ...problem });
  if (problems.length > 0) return { problems };
  const read = contents!.toJSON() as Omit<Issuer, "name">;
  const kids = read.keys.map(({ kid }) => kid);
  const position = source.positionAt(0);
  if (new Set(kids).size < kids.length) problems.push({ position, message: "two keys have the same kid" });
  const published =
    read.jwks !== undefined ||
    read.publishedToken !== undefined ||
    read.keys.some((key) => key.privateKey !== undefined);
  if (published && read.origin === undefined)
    problems.push({ position, message: "published keys and tokens need an origin" });
  return problems.length > 0 ? { problems } : { issuer: { ...read, name, claims: read.claims ?? {} }, problems };
}
