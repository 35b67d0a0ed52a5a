/** Substitutes `${…}` in a manifest: in scalar values only, so that a manifest is YAML that any editor understands. */

import { isScalar, Scalar, stringify, visit } from "yaml";
import type { ManifestFile, ManifestObject, OutsideScheme, Substitution } from "../model/manifest.ts";
import { didYouMean, type Problem } from "./problem.ts";
import { kindOf, objectsIn, parseSource, type Source, startOf } from "./source.ts";

/** The values of `${…}` in one step of one run. */
export interface SubstitutionValues {
  /** `${ns}` */
  readonly ns: string;
  /** `${fresh}`: a text that no other step has, of this run or another. */
  readonly fresh: string;
  /** `${outside.ns}`: the namespace of the pods outside the mesh. */
  readonly outsideNs: string;
  /** `${outside.ip}`: address of the pod outside-host. */
  readonly outsideIp: string;
  /** `${outside.host}`: its name in the cluster's DNS, which has no Service. */
  readonly outsideHost: string;
  /** `${tls.crt}`, `${tls.key}`: a certificate for `*.example` that nothing trusts, new for each step, and its key, both PEM. */
  readonly tls?: { readonly crt: string; readonly key: string };
  /** `${jwks.<issuer>}`: the JWKS as JSON text. */
  jwks(issuer: string): string;
  /** `${jwksUri.<issuer>}`, `${jwksUri.<issuer>@outside-http}`, `${jwksUri.<issuer>@outside-https}` */
  jwksUri(issuer: string, via?: OutsideScheme): string;
}

const PLAIN = ["ns", "fresh", "outside.ns", "outside.ip", "outside.host", "tls.crt", "tls.key"] as const;
const REFERENCE = /\$\{([^}]*)(\}?)/g;
const KNOWN = [
  "ns",
  "fresh",
  "outside.ns",
  "outside.ip",
  "outside.host",
  "tls.crt",
  "tls.key",
  "jwks.<issuer>",
  "jwksUri.<issuer>",
  "jwksUri.<issuer>@outside-http",
  "jwksUri.<issuer>@outside-https",
];

/**
 * Makes every substitution in a manifest. Returns its YAML with comments, its objects, and the YAML of each object (without
 * comments for an item of a List).
 */
export function substitute(
  { text, file }: Pick<ManifestFile, "text" | "file">,
  values: SubstitutionValues,
): { yaml: string; objects: ManifestObject[]; texts: string[] } {
  const made = parseSource(text, file)
    .documents.filter(({ contents }) => kindOf(contents) !== "nothing")
    .map((document) => {
      visit(document, {
        Scalar: (key, node) => {
          if (key === "key" || typeof node.value !== "string") return;
          const value = node.value.replaceAll(REFERENCE, (_, inner: string) => valueOf(inner, values));
          if (value === node.value) return;
          // A folded scalar would fold the spaces of inline JSON.
          if (node.type === Scalar.BLOCK_FOLDED) delete node.type;
          node.value = value;
        },
      });
      if (document.directives) document.directives.docStart = null;
      return document;
    });
  const parts = made.flatMap((document) =>
    objectsIn(document).map(({ node, object }) => ({
      object,
      text: node === document.contents ? document.toString({ lineWidth: 0 }) : stringify(object, { lineWidth: 0 }),
    })),
  );
  return {
    yaml: made.map((document) => document.toString({ lineWidth: 0 })).join("---\n"),
    objects: parts.map(({ object }) => object),
    texts: parts.map(({ text }) => text),
  };
}

/** Every substitution of a manifest, with problems for invalid ones. */
export function readSubstitutions(source: Source): { substitutions: Substitution[]; problems: Problem[] } {
  const substitutions: Substitution[] = [];
  const problems: Problem[] = [];
  for (const document of source.documents)
    visit(document, {
      Scalar: (key, node) => {
        if (typeof node.value !== "string") return;
        for (const [index, match] of [...node.value.matchAll(REFERENCE)].entries()) {
          const position = source.positionAt(offsetOf(source.text, node, index));
          if (key === "key") {
            problems.push({
              position,
              message: `${match[0]} is in a key`,
              hint: "substitutions are made in values only",
            });
            continue;
          }
          const parsed = match[2] === "" ? undefined : parseReference(match[1]!);
          if (parsed !== undefined) substitutions.push({ position, written: match[0], ...parsed });
          else problems.push({ position, message: `unknown substitution ${match[0]}`, hint: hintFor(match[1]!) });
        }
      },
    });
  return { substitutions, problems };
}

function parseReference(inner: string): Omit<Substitution, "position" | "written"> | undefined {
  const plain = PLAIN.find((name) => name === inner);
  if (plain !== undefined) return { name: plain };
  const match = /^(jwks|jwksUri)\.([a-z0-9-]+)(?:@(outside-https?))?$/.exec(inner);
  if (match === null) return undefined;
  const [, name, issuer, via] = match;
  if (name === "jwks") return via === undefined ? { name, issuer: issuer! } : undefined;
  return { name: "jwksUri", issuer: issuer!, ...(via !== undefined && { via: via as OutsideScheme }) };
}

function valueOf(inner: string, values: SubstitutionValues): string {
  const { name, issuer, via } = parseReference(inner)!;
  switch (name) {
    case "ns":
      return values.ns;
    case "fresh":
      return values.fresh;
    case "outside.ns":
      return values.outsideNs;
    case "outside.ip":
      return values.outsideIp;
    case "outside.host":
      return values.outsideHost;
    case "tls.crt":
      return values.tls?.crt ?? "";
    case "tls.key":
      return values.tls?.key ?? "";
    case "jwks":
      return values.jwks(issuer!);
    case "jwksUri":
      return values.jwksUri(issuer!, via);
  }
}

function hintFor(inner: string): string {
  const [head, ...rest] = inner.split(".");
  const heads = ["ns", "outside", "tls", "jwks", "jwksUri"];
  const guess =
    rest.length === 0
      ? didYouMean(inner, ["ns", "fresh"])
      : heads.includes(head!)
        ? undefined
        : didYouMean(head!, heads);
  return guess ?? `known are ${KNOWN.map((known) => `\${${known}}`).join(", ")}`;
}

/** The offset of a scalar's nth reference; the scalar's offset if an escape hides the reference. */
function offsetOf(text: string, node: Scalar, index: number): number {
  const [start, end] = isScalar(node) && node.range ? node.range : [0, 0];
  const found = [...text.slice(start, end).matchAll(REFERENCE)][index];
  return found === undefined ? startOf(node) : start + found.index;
}
