/** The issuers of `scenarios/issuers/*.yaml`. */

import { readdir, readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { issuerFile, type Issuer } from "../model/token.ts";
import type { Problem } from "../scenario/problem.ts";
import { validate } from "../scenario/validate.ts";
import { parseSource } from "../scenario/source.ts";

/**
 * Reads every issuer of folders; none of one that does not exist.
 * @param folders an issuer of a later one replaces that of the same name
 * @param nameFile names a file in problems
 */
export async function readIssuers(
  folders: readonly string[],
  nameFile: (path: string) => string = (path) => path,
): Promise<{ issuers: ReadonlyMap<string, Issuer>; problems: Problem[] }> {
  const issuers = new Map<string, Issuer>();
  const problems: Problem[] = [];
  for (const folder of folders) {
    const files = await readdir(folder).catch(() => []);
    for (const entry of files.filter((name) => name.endsWith(".yaml")).sort()) {
      const path = join(folder, entry);
      const { issuer, problems: found } = parseIssuer(
        await readFile(path, "utf8"),
        basename(entry, ".yaml"),
        nameFile(path),
      );
      problems.push(...found);
      if (issuer !== undefined) issuers.set(issuer.name, { ...issuer, folder });
    }
  }
  return { issuers, problems };
}

/** Parses one issuer's file; `issuer` is undefined if there are problems. */
export function parseIssuer(text: string, name: string, file: string): { issuer?: Issuer; problems: Problem[] } {
  const source = parseSource(text, file);
  const contents = source.documents[0]?.contents;
  const problems: Problem[] = [...source.problems, ...validate(source, contents, issuerFile, "the issuer")];
  if (problems.length > 0) return { problems };
  const read = contents!.toJSON() as Omit<Issuer, "name" | "folder">;
  const kids = read.keys.map(({ kid }) => kid);
  const position = source.positionAt(0);
  if (new Set(kids).size < kids.length) problems.push({ position, message: "two keys have the same kid" });
  for (const { kid, alg, bits } of read.keys)
    if (bits !== undefined && !/^[RP]S/.test(alg))
      problems.push({ position, message: `key ${kid}: "bits" is for RSA keys, and ${alg} is not for one` });
  const published =
    read.jwks !== undefined ||
    read.publishedToken !== undefined ||
    read.keys.some((key) => key.privateKey !== undefined);
  if (published && read.origin === undefined)
    problems.push({ position, message: "published keys and tokens need an origin" });
  return problems.length > 0
    ? { problems }
    : { issuer: { ...read, name, folder: dirname(file), claims: read.claims ?? {} }, problems };
}
