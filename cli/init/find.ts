/** Finds a repository's own policies, and the Services and workloads that they are for. */

import { readdirSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import { readObjects } from "../../harness/policies/read.ts";
import { fieldsOf, listOf } from "../../harness/policies/names.ts";
import type { TicketObject } from "../../harness/repro/ticket.ts";
import { ROOT_NAMESPACE } from "../../harness/model/cluster.ts";

export interface FoundObject {
  readonly object: TicketObject;
  /** Relative to the repository. */
  readonly file: string;
}

export interface Repository {
  readonly objects: readonly FoundObject[];
  /** Files that look like policies and are templates. */
  readonly templates: readonly string[];
}

/** Policies of one workload: those with the same namespace and selector. */
export interface Group {
  /** Empty where the policies name none. */
  readonly namespace: string;
  readonly selector: Readonly<Record<string, string>>;
  readonly authentications: readonly FoundObject[];
  readonly authorizations: readonly FoundObject[];
}

const SKIPPED = /^(?:node_modules|results|dist|vendor|\..*)$/;
const MOST_FILES = 5_000;
const MOST_BYTES = 1024 * 1024;

/** @param without a folder that is not searched: the one of the scenarios */
export function searchRepository(root: string, without: string): Repository {
  const objects: FoundObject[] = [];
  const templates: string[] = [];
  for (const file of filesIn(root, path.resolve(root, without))) {
    const text = readFileSync(path.join(root, file), "utf8");
    if (!/^\s*kind:/m.test(text)) continue;
    const { found, problems } = readObjects(text, file);
    const isPolicy = /security\.istio\.io/.test(text);
    if (problems.length > 0 || text.includes("{{")) {
      if (isPolicy && text.includes("{{")) templates.push(file);
      continue;
    }
    objects.push(...found.map(({ object }) => ({ object, file })));
  }
  return { objects, templates };
}

function filesIn(root: string, without: string): string[] {
  const files: string[] = [];
  const walk = (folder: string): void => {
    for (const entry of readdirSync(path.join(root, folder), { withFileTypes: true })) {
      const name = path.join(folder, entry.name);
      if (files.length >= MOST_FILES) return;
      // Links may go in circles, or out of the repository.
      if (entry.isDirectory() && !SKIPPED.test(entry.name) && path.join(root, name) !== without) walk(name);
      else if (entry.isFile() && /\.ya?ml$/.test(entry.name) && statSync(path.join(root, name)).size <= MOST_BYTES)
        files.push(name);
    }
  };
  walk("");
  return files.sort();
}

const labelsOf = (value: unknown): Readonly<Record<string, string>> => fieldsOf(value) as Record<string, string>;

/** The policies by workload, those first that have both kinds. Policies of gateways are left out. */
export function groupsOf({ objects }: Repository): Group[] {
  const policies = objects.filter(
    ({ object }) =>
      object.apiVersion.startsWith("security.istio.io/") &&
      (object.kind === "RequestAuthentication" || object.kind === "AuthorizationPolicy") &&
      object.metadata.namespace !== ROOT_NAMESPACE &&
      object.spec?.["targetRefs"] === undefined &&
      object.spec?.["targetRef"] === undefined &&
      !/ingress|gateway/.test(JSON.stringify(selectorIn(object))),
  );
  const groups = [
    ...Map.groupBy(policies, ({ object }) =>
      JSON.stringify([object.metadata.namespace ?? "", selectorIn(object)]),
    ).values(),
  ].map((those): Group => {
    const [{ object }] = those as [FoundObject];
    const of = (kind: string): FoundObject[] => those.filter((one) => one.object.kind === kind);
    return {
      namespace: object.metadata.namespace ?? "",
      selector: selectorIn(object),
      authentications: of("RequestAuthentication"),
      authorizations: of("AuthorizationPolicy"),
    };
  });
  const rank = ({ authentications, authorizations, selector }: Group): number =>
    (authentications.length > 0 ? 4 : 0) +
    (authorizations.length > 0 ? 2 : 0) +
    (Object.keys(selector).length > 0 ? 1 : 0);
  return groups.sort((a, b) => rank(b) - rank(a));
}

function selectorIn({ spec }: TicketObject): Readonly<Record<string, string>> {
  return labelsOf(fieldsOf(spec?.["selector"])["matchLabels"]);
}

/** A workload that a scenario has instead of the group's own. */
export interface StandIn {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  /** Of the Service. */
  readonly port: number;
  readonly portName: string;
  /** Of the container. */
  readonly targetPort: number;
}

/** The workload of a group, as the repository's Service and Deployment describe it. */
export function standInOf({ namespace, selector }: Group, { objects }: Repository): StandIn {
  const here = objects
    .filter(({ object }) => (object.metadata.namespace ?? "") === namespace)
    .map(({ object }) => object);
  const includes = (all: Readonly<Record<string, string>>, part: Readonly<Record<string, string>>): boolean =>
    Object.keys(part).length > 0 && Object.entries(part).every(([key, value]) => all[key] === value);
  const templateOf = ({ spec }: TicketObject) => fieldsOf(spec?.["template"]);
  const podLabels = (object: TicketObject) => labelsOf(fieldsOf(templateOf(object)["metadata"])["labels"]);
  const workload = here.find((object) => includes(podLabels(object), selector));
  const labels = { ...(workload && podLabels(workload)), ...selector };
  const service = here.find(
    (object) => object.kind === "Service" && includes(labels, labelsOf(object.spec?.["selector"])),
  );
  const pod = fieldsOf(workload && templateOf(workload)["spec"]);
  const [port] = listOf(service?.spec, "ports").map(fieldsOf);
  const number = typeof port?.["port"] === "number" ? port["port"] : 80;
  const target = port?.["targetPort"] ?? number;
  const ports = listOf(pod, "containers").flatMap((container) => listOf(container, "ports").map(fieldsOf));
  const named = ports.find(({ name }) => name === target)?.["containerPort"];
  const name = service?.metadata.name ?? workload?.metadata.name ?? Object.values(selector)[0] ?? "workload";
  return {
    name,
    labels: { ...labels, ...labelsOf(service?.spec?.["selector"]) },
    serviceAccount: typeof pod["serviceAccountName"] === "string" ? pod["serviceAccountName"] : name,
    port: number,
    portName: typeof port?.["name"] === "string" ? port["name"] : "http",
    targetPort: typeof target === "number" ? target : typeof named === "number" ? named : 8080,
  };
}
