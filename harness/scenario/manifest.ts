/** Reads manifest files: objects as for `kubectl apply`, with substitutions in scalar values. */

import type { Node } from "yaml";
import type { ManifestFile } from "../model/manifest.ts";
import type { Issuer } from "../model/token.ts";
import { kindOf, objectsIn, parseSource, type Source, startOf, textOf, valueOf } from "./source.ts";
import { didYouMean, invalidScenarios, type Problem } from "./problem.ts";
import { readSubstitutions } from "./substitute.ts";

interface ReadManifest {
  readonly source: Source;
  readonly manifest: ManifestFile;
  /** Problems of its YAML and its substitutions. */
  readonly problems: readonly Problem[];
}

/** Never throws. */
export function readManifest(text: string, file: string): ReadManifest {
  const source = parseSource(text, file);
  const { substitutions, problems } = readSubstitutions(source);
  const broken = source.problems.length > 0;
  const objects = broken ? [] : source.documents.flatMap(objectsIn);
  const manifest: ManifestFile = {
    file,
    position: source.positionAt(0),
    text,
    objects: objects.map(({ node, object }) => ({ object, position: source.positionAt(startOf(node)) })),
    uses: substitutions,
  };
  return { source, manifest, problems: [...source.problems, ...problems] };
}

/**
 * A manifest file that is not part of a scenario.
 * @throws MeshproofError ERR_SCENARIO_INVALID with file, line and column
 */
export function parseManifest(text: string, file: string): ManifestFile {
  const { manifest, problems } = readManifest(text, file);
  if (problems.length > 0) throw invalidScenarios(problems);
  return manifest;
}

/** Finds all problems of a manifest that has been read. */
export function checkManifest(
  { source, manifest, problems: found }: ReadManifest,
  issuers: ReadonlyMap<string, Issuer>,
): Problem[] {
  const problems = [...found];
  for (const { position, written, issuer } of manifest.uses) {
    if (issuer === undefined || issuers.has(issuer)) continue;
    const names = [...issuers.keys()];
    const hint = didYouMean(issuer, names, `there are ${names.join(", ")}`)!;
    problems.push({ position, message: `unknown issuer "${issuer}" in ${written}`, hint });
  }
  if (problems.length > 0) return problems;
  const documents = source.documents.map(({ contents }) => contents);
  const objects = documents.filter((contents) => kindOf(contents) !== "nothing");
  if (objects.length === 0) problems.push({ position: manifest.position, message: "the manifest holds no object" });
  for (const object of objects) {
    const position = source.positionAt(startOf(object));
    if (kindOf(object) !== "mapping") {
      problems.push({ position, message: `an object must be a mapping, found a ${kindOf(object)}` });
      continue;
    }
    const required = {
      apiVersion: valueOf(object, "apiVersion"),
      kind: valueOf(object, "kind"),
      "metadata.name": valueOf(valueOf(object, "metadata"), "name"),
    };
    for (const [key, node] of Object.entries(required))
      if (kindOf(node) !== "text" || textOf(node).trim() === "")
        problems.push({ position, message: `the object has no ${key}` });
  }
  return problems;
}

/** The names of a manifest's objects as in the file, such as `AuthorizationPolicy ${ns}/allow`. */
export function namesIn({ objects }: ManifestFile): string[] {
  return objects.flatMap(({ object }) => {
    const { kind, metadata } = object ?? {};
    return metadata?.name ? [`${kind} ${metadata.namespace ? `${metadata.namespace}/` : ""}${metadata.name}`] : [];
  });
}

/** Finds a manifest of the scenario's folder by the node that names it, and reports a missing one. */
export function pickManifest(
  node: Node,
  files: ReadonlyMap<string, ReturnType<typeof readManifest>>,
  source: Source,
  problems: Problem[],
): ManifestFile[] {
  const position = source.positionAt(startOf(node));
  const found = files.get(textOf(node));
  if (found !== undefined) return [{ ...found.manifest, position }];
  const hint = didYouMean(textOf(node), files.keys());
  problems.push({
    position,
    message: `there is no manifest "${textOf(node)}" in the scenario's folder`,
    hint,
  });
  return [];
}
