/**
 * Makes a manifest of a user's repository fit for a scenario: its namespaces become the scenario's, and its issuers get keys that
 * meshproof has made. Every change is data, and what could decide a request and has no counterpart is a problem with file and line. Pure.
 */

import { stringify } from "yaml";
import { OWN_NAMESPACES } from "../../clusters/cluster.ts";
import { PROVIDERS } from "../mesh/extension-providers.ts";
import type { KeptField, NamespaceMap, NotApplied, PolicyChange } from "../model/own-policy.ts";
import type { ManifestFile, ManifestObject } from "../model/manifest.ts";
import type { Position } from "../model/scenario.ts";
import type { Issuer } from "../model/token.ts";
import { keysOfJwks, rewriteRules, type MadeIssuer } from "../repro/issuers.ts";
import type { TicketObject } from "../repro/ticket.ts";
import { isCustom, openValueIn, providerOf, roleOf } from "../repro/understood.ts";
import type { Problem } from "../scenario/problem.ts";
import { readManifest } from "../scenario/manifest.ts";
import { fieldsOf, listOf, nameField, namedValuesOf, renameIn, trustDomainIn, withValue, type Path } from "./names.ts";
import { readObjects, start, type Found } from "./read.ts";
import { ROOT_NAMESPACE } from "../model/cluster.ts";

/** What a scenario says about a source of policies. */
export interface Selection {
  /** `Kind` or `Kind/name`: these alone are applied. */
  readonly only?: readonly string[];
  readonly leaveOut?: readonly string[];
  readonly asIs?: readonly KeptField[];
}

export interface Surroundings {
  readonly namespaces: NamespaceMap;
  readonly issuers: ReadonlyMap<string, Issuer>;
}

export interface Translated {
  readonly manifest: ManifestFile;
  readonly problems: readonly Problem[];
}

/** Never throws. @param file as positions name it */
export function translatePolicies(
  text: string,
  file: string,
  selection: Selection,
  surroundings: Surroundings,
): Translated {
  const { found, problems } = readObjects(text, file);
  const kept: { readonly object: ManifestObject; readonly position: Position; readonly changes: PolicyChange[] }[] = [];
  const notApplied: NotApplied[] = [];
  for (const one of found) {
    const { object } = one;
    const position = one.position([]);
    const ref = { kind: object.kind, namespace: object.metadata.namespace ?? "", name: object.metadata.name };
    const because = whyNotApplied(object, selection);
    if (because === "unknown")
      problems.push({
        position,
        message: `${object.kind} ${object.metadata.name} may decide about requests, and meshproof cannot put it into the scenario's namespaces`,
        hint: `write one for the scenario into its folder, and leaveOut: [${object.kind}]`,
      });
    else if (because !== undefined) notApplied.push({ object: ref, position, because });
    else {
      const made = translateObject(one, selection, surroundings);
      problems.push(...made.problems);
      kept.push({ ...made, position });
    }
  }
  if (problems.length === 0 && kept.length === 0)
    problems.push({ position: start(file), message: "there is no policy in it that the scenario applies" });
  const written = kept.map(({ object }) => stringify(object, { lineWidth: 0, aliasDuplicateObjects: false }));
  const { manifest } = readManifest(written.join("---\n"), file);
  return {
    problems,
    manifest: {
      ...manifest,
      position: start(file),
      objects: manifest.objects.map(({ object }, index) => ({ ...kept[index]!, object })),
      notApplied,
    },
  };
}

function whyNotApplied(
  object: TicketObject,
  { only, leaveOut = [] }: Selection,
): NotApplied["because"] | "unknown" | undefined {
  const isNamed = (names: readonly string[]): boolean =>
    names.includes(object.kind) || names.includes(`${object.kind}/${object.metadata.name}`);
  if (isNamed(leaveOut) || (only !== undefined && !isNamed(only))) return "chosen";
  const role = roleOf(object);
  return role === "policy" ? undefined : role === "routing" ? "unknown" : role;
}

function translateObject(
  { object, position }: Found,
  selection: Selection,
  { namespaces, issuers }: Surroundings,
): { readonly object: ManifestObject; readonly changes: PolicyChange[]; readonly problems: Problem[] } {
  const changes: PolicyChange[] = [];
  const problems: Problem[] = [];
  const report = (path: Path, message: string, hint?: string): void =>
    void problems.push({ position: position(path), message, ...(hint !== undefined && { hint }) });
  const { apiVersion, kind, metadata } = object;

  const rename = (from: string): string | undefined => {
    const to = Object.hasOwn(namespaces, from)
      ? namespaces[from]
      : from === ROOT_NAMESPACE
        ? ROOT_NAMESPACE
        : undefined;
    return to === "absent" ? absent(from) : to;
  };
  const own = metadata.namespace ?? "";
  const namespace = own === "" ? "${ns}" : rename(own);
  if (namespace === undefined || namespaces[own] === "absent")
    report(
      ["metadata", "namespace"],
      `the namespace ${own} of ${kind} ${metadata.name} is not in the scenario`,
      mapIt(own),
    );
  else if (namespace !== own)
    changes.push({ kind: "namespace", field: "metadata.namespace", from: own, to: namespace });

  for (const [path, text] of openValues(object.spec, ["spec"]))
    report(
      path,
      `${nameField(path)} has a variable, whose value is not known: ${text}`,
      "apply the output of the command that fills it in (command: [...])",
    );
  let spec = object.spec ?? {};
  if (kind === "AuthorizationPolicy") {
    for (const { path, field, value } of namedValuesOf(spec)) {
      const at = ["spec", ...path];
      const keep = (as: KeptField, message: string, hint: string): void => {
        if (selection.asIs?.includes(as) === true) changes.push({ kind: "kept", field: nameField(at), value, as });
        else report(at, message, hint);
      };
      if (field === "address") {
        keep("addresses", `the address ${value} is one of another network`, "asIs: [addresses] applies it as it is");
        continue;
      }
      const domain = field === "principal" ? trustDomainIn(value) : undefined;
      if (domain !== undefined && domain !== "cluster.local")
        keep(
          "trust-domains",
          `the trust domain ${domain} is another mesh's`,
          "write cluster.local, which Istio reads as the trust domain of the mesh itself, or asIs: [trust-domains]",
        );
      const renamed = renameIn(field, value, rename);
      if ("unknown" in renamed)
        keep(
          "namespaces",
          `"${value}" names the namespace ${renamed.unknown}, which is not in the scenario`,
          renamed.unknown.includes("*") ? "asIs: [namespaces] applies it as it is" : mapIt(renamed.unknown),
        );
      else if (renamed.name !== value) {
        changes.push({ kind: "namespace", field: nameField(at), from: value, to: renamed.name });
        spec = withValue(spec, path, renamed.name);
      }
    }
    if (isCustom(object) && !PROVIDERS.some(({ name }) => name === providerOf(object)))
      report(
        ["spec", "provider"],
        `the extension provider "${providerOf(object)}" is not in this mesh`,
        `it has ${PROVIDERS.map(({ name }) => name).join(", ")}`,
      );
  }
  for (const [index, ref] of listOf(spec, "targetRefs").entries()) {
    const from = fieldsOf(ref)["namespace"];
    if (typeof from !== "string") continue;
    const to = rename(from);
    const path: Path = ["targetRefs", index, "namespace"];
    if (to === undefined) report(["spec", ...path], `the namespace ${from} is not in the scenario`, mapIt(from));
    else spec = withValue(spec, path, to);
  }
  if (kind === "RequestAuthentication") {
    const made = withTestKeys(object, spec, issuers);
    changes.push(...made.changes);
    for (const { path, message, hint } of made.problems) report(["spec", ...path], message, hint);
    spec = made.spec;
  }
  const { annotations, labels, name, namespace: _, ...more } = metadata;
  const { [DRY_RUN]: dryRun, ...others } = fieldsOf(annotations);
  const left = [
    ...Object.keys(fieldsOf(labels)).map((key) => `label ${key}`),
    ...Object.keys(others).map((key) => `annotation ${key}`),
    ...Object.keys(more),
  ];
  if (left.length > 0) changes.push({ kind: "metadata-left-out", fields: left });
  return {
    object: {
      apiVersion,
      kind,
      metadata: {
        name,
        namespace: namespace ?? own,
        ...(dryRun !== undefined && { annotations: { [DRY_RUN]: String(dryRun) } }),
      },
      spec,
    },
    changes,
    problems,
  };
}

const DRY_RUN = "istio.io/dry-run";

function mapIt(namespace: string): string {
  return `add it to the scenario's namespaces: { ${namespace}: "\${ns}" }, or "\${outside.ns}", istio-system or absent`;
}

/** The name of a namespace that no pod of a run is in: its own, unless a run's own namespace has it. */
function absent(name: string): string {
  const taken = Object.values(OWN_NAMESPACES).some((own) => name === own || name.startsWith(`${own}-lane-`));
  return taken ? `absent-${name}` : name;
}

/** Has the rules trust keys of meshproof: those of the issuer with the same `iss`. */
function withTestKeys(
  object: TicketObject,
  spec: Readonly<Record<string, unknown>>,
  issuers: ReadonlyMap<string, Issuer>,
): {
  readonly spec: Readonly<Record<string, unknown>>;
  readonly changes: PolicyChange[];
  readonly problems: (Omit<Problem, "position"> & { readonly path: Path })[];
} {
  const changes: PolicyChange[] = [];
  const problems: (Omit<Problem, "position"> & { readonly path: Path })[] = [];
  const known = [...issuers.values()].reverse();
  const jwtRules = listOf(spec, "jwtRules").map((rule, index): unknown => {
    const { issuer: iss, jwks } = fieldsOf(rule);
    const path: Path = ["jwtRules", index];
    const issuer = known.find((one) => one.iss === iss);
    if (issuer === undefined) {
      problems.push({
        path: [...path, "issuer"],
        message: `tokens of the issuer "${String(iss ?? "")}" cannot be made: no file of issuers has this iss`,
        hint: `write one beside the scenarios, such as issuers/own.yaml: { iss: "${String(iss ?? "")}", keys: [{ kid: key-1, alg: RS256 }] }`,
      });
      return rule;
    }
    if (typeof jwks === "string" && issuer.jwks === undefined) {
      const wrong = unlike(issuer, jwks);
      if (wrong !== undefined)
        problems.push({
          path: [...path, "jwks"],
          message: `the JWKS has no key ${wrong}, and the issuer ${issuer.name} signs with one`,
          hint: `write the kids and algorithms of the JWKS into the file of the issuer ${issuer.name}`,
        });
    }
    const made: MadeIssuer = { name: issuer.name, iss: issuer.iss, keys: issuer.keys, fromJwks: false };
    const one = rewriteRules(
      `${object.kind} ${object.metadata.name}`,
      { jwtRules: [rule] },
      [made],
      () => "reachable",
      () => undefined,
      () => undefined,
    );
    for (const difference of one.differences) {
      if (difference.kind !== "keys") continue;
      const { iss: of, keys, served, uri, decides } = difference;
      if (decides !== "no")
        problems.push({
          path: [...path, "issuer"],
          message: `the issuer ${issuer.name} has symmetric keys, which no server publishes`,
          hint: "give it a key of another algorithm",
        });
      changes.push({
        ...{ kind: "keys", field: nameField(["spec", ...path]), iss: of, keys, served },
        ...(uri !== undefined && { uri }),
      });
    }
    return listOf(one.spec, "jwtRules")[0];
  });
  return { spec: jwtRules.length === 0 ? spec : { ...spec, jwtRules }, changes, problems };
}

/** A key of the issuer that the policy's own JWKS would not verify: `key-2 (ES256)`. */
function unlike({ keys }: Issuer, jwks: string): string | undefined {
  const theirs = keysOfJwks(jwks, undefined);
  if (theirs.length === 0) return undefined;
  const family = (alg: string): string => alg.replace(/^(?:RS|PS)\d+$/, "RSA").replace(/^HS\d+$/, "HMAC");
  const wrong = keys.find(
    ({ kid, alg }) =>
      !theirs.some((one) => (one.anyKid === true || one.kid === kid) && family(one.alg) === family(alg)),
  );
  return wrong && `${wrong.kid} (${wrong.alg})`;
}

function openValues(value: unknown, path: Path): (readonly [Path, string])[] {
  if (typeof value === "string") {
    const open = openValueIn(value);
    return open === undefined ? [] : [[path, open]];
  }
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) =>
    openValues(inner, [...path, Array.isArray(value) ? Number(key) : key]),
  );
}
