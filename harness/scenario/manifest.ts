/** A manifest file: objects as a person would `kubectl apply` them. */

import type { Issuer } from "../model/token.ts";
import { itemsOf, kindOf, parseSource, startOf, textOf, valueOf } from "./source.ts";
import { didYouMean } from "./problem.ts";
import type { Problem } from "./problem.ts";
import { readSubstitutions } from "./substitute.ts";

/** Everything wrong with a manifest's text; never throws. */
export function checkManifest(text: string, file: string, issuers: ReadonlyMap<string, Issuer>): Problem[] {
  const source = parseSource(text, file);
  const { substitutions, problems: found } = readSubstitutions(source);
  const problems = [...source.problems, ...found];
  for (const { position, written, issuer } of substitutions) {
    if (issuer === undefined || issuers.has(issuer)) continue;
    const names = [...issuers.keys()];
    const hint = didYouMean(issuer, names, `there are ${names.join(", ")}`)!;
    problems.push({ position, message: `unknown issuer "${issuer}" in ${written}`, hint });
  }
  if (problems.length > 0) return problems;
  const objects = source.documents
    .map((document) => document.contents)
    .filter((contents) => kindOf(contents) !== "nothing");
  if (objects.length === 0) problems.push({ position: source.positionAt(0), message: "the manifest holds no object" });
  for (const object of objects) {
    const position = source.positionAt(startOf(object));
    if (kindOf(object) !== "mapping") {
      problems.push({ position, message: `an object must be a mapping, found a ${kindOf(object)}` });
      continue;
    }
    const metadata = valueOf(object, "metadata");
    const required = {
      apiVersion: valueOf(object, "apiVersion"),
      kind: valueOf(object, "kind"),
      "metadata.name": valueOf(metadata, "name"),
    };
    for (const [key, node] of Object.entries(required))
      if (kindOf(node) !== "text" || textOf(node).trim() === "")
        problems.push({ position, message: `the object has no ${key}` });
  }
  return problems;
}

/** `AuthorizationPolicy ${ns}/allow`: the objects of a manifest, those of a List among them, as the file names them. */
export function objectsIn(text: string): string[] {
  return parseSource(text, "").documents.flatMap(({ contents }) => {
    const objects = textOf(valueOf(contents, "kind")) === "List" ? itemsOf(valueOf(contents, "items")) : [contents];
    return objects.flatMap((object) => {
      const metadata = valueOf(object, "metadata");
      const [kind, namespace, name] = [
        textOf(valueOf(object, "kind")),
        textOf(valueOf(metadata, "namespace")),
        textOf(valueOf(metadata, "name")),
      ];
      return name === "" ? [] : [`${kind} ${namespace === "" ? "" : `${namespace}/`}${name}`];
    });
  });
}
