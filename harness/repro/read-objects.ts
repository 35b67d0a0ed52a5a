/** Reads Kubernetes objects from a ticket's YAML, and writes them. */

import path from "node:path";
import { parseAllDocuments, stringify } from "yaml";
import { MeshproofError } from "../model/errors.ts";
import { ofFile } from "../user-file.ts";
import { withoutCredentials } from "./placeholders.ts";
import type { TicketObject } from "./ticket.ts";

/** The objects of YAML text; a List is replaced by its items. @throws MeshproofError ERR_USAGE with the file's name */
export function readObjects(text: string, file: string): TicketObject[] {
  return ofFile(file, () => objectsOf(text, file));
}

function objectsOf(text: string, file: string): TicketObject[] {
  return parseAllDocuments(text).flatMap((document) => {
    const [problem] = document.errors;
    if (problem)
      throw new MeshproofError("ERR_USAGE", `${file} is not YAML: ${problem.message.split("\n")[0]}`, {
        hint: "give files with Kubernetes objects",
      });
    const value = document.toJS() as (TicketObject & { items?: TicketObject[] }) | null;
    if (value === null) return [];
    const found = (
      typeof value.kind === "string" && value.kind.endsWith("List") && Array.isArray(value.items)
        ? value.items
        : [value]
    ).map((one) => named(one, file));
    for (const one of found)
      if (typeof one?.kind !== "string" || typeof one.metadata?.name !== "string")
        throw new MeshproofError("ERR_USAGE", `${file} has a document without kind and metadata.name`, {
          hint: "give files with Kubernetes objects",
        });
    return found;
  });
}

/** An IstioOperator needs no name; Helm values (of the charts base and istiod, or of istioctl) become an IstioOperator. */
function named(value: TicketObject, file: string): TicketObject {
  if (typeof value !== "object" || value === null) return value;
  const { kind, metadata, apiVersion, ...more } = value as Partial<TicketObject> & Record<string, unknown>;
  const name = path.basename(file).replace(/\.ya?ml$/, "");
  if (kind === "IstioOperator") return { ...value, metadata: { ...metadata, name: metadata?.name ?? name } };
  const isValues =
    kind === undefined && apiVersion === undefined && ["meshConfig", "pilot", "global"].some((key) => key in more);
  if (!isValues) return value;
  const { meshConfig, ...values } = more;
  const spec = { ...(meshConfig === undefined ? {} : { meshConfig }), values };
  return { apiVersion: "install.istio.io/v1alpha1", kind: "HelmValues", metadata: { name }, spec };
}

/** Fields of workloads and Secrets that may be secrets, and decide nothing. */
const LEFT_OUT = ["env", "envFrom", "args", "command", "stringData"];

/**
 * Writes objects as YAML. Key sets become `…`, a jwksUri loses user info and query, and Secrets and containers their values, so that no
 * secret gets into a report.
 */
export function stringifyObjects(objects: readonly TicketObject[]): string {
  const blank = (key: unknown, value: unknown): unknown => {
    if (key === "jwks") return "…";
    if (LEFT_OUT.includes(String(key))) return undefined;
    return key === "jwksUri" || key === "jwks_uri" ? withoutCredentials(String(value)).uri : value;
  };
  return objects
    .map((object) => (object.kind === "Secret" ? { ...object, data: undefined } : object))
    .map((object) => stringify(object, blank, { aliasDuplicateObjects: false, lineWidth: 0 }))
    .join("---\n");
}
