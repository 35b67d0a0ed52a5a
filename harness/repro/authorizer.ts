/** The external authorizer of a ticket's CUSTOM policies: a server of meshproof that gives every request the answer that a person named. */

import { parseManifests } from "../mesh/apply.ts";
import type { Difference } from "../model/ticket.ts";
import { stringify } from "yaml";
import type { TicketObject } from "./ticket.ts";
import { isCustom, providerOf, refOf } from "./understood.ts";

/** The workload that meshproof brings; the mesh setting `extAuthz` names it as the provider {@link PROVIDER}. */
export const AUTHORIZER = "ext-authz";
const PROVIDER = "sample-ext-authz-http";

/** What `--authorizer` says. */
export interface Authorizer {
  /** An HTTP status; 2xx allows the request, with any other the client gets the authorizer's answer. */
  readonly status: number;
  /** The manifests of its workload. */
  readonly workload: string;
}

/** @param brought the manifests of the workload `ext-authz` that meshproof brings */
export function authorizerOf(status: number, brought: string): Authorizer {
  const to = status >= 300 && status < 400 ? " https://login.example/" : "";
  const manifests = parseManifests(brought).map((manifest) => {
    if (manifest.kind === "ConfigMap")
      return { ...manifest, data: { ...(manifest["data"] as object), "answer.conf": `return ${status}${to};\n` } };
    if (manifest.kind !== "Deployment") return manifest;
    // The server reads its config when it starts: another answer is another pod.
    const { template, ...spec } = manifest["spec"] as { template: { metadata: object } };
    const metadata = { ...template.metadata, annotations: { "meshproof.dev/answer": String(status) } };
    return { ...manifest, spec: { ...spec, template: { ...template, metadata } } };
  });
  return { status, workload: manifests.map((manifest) => stringify(manifest, { lineWidth: 0 })).join("---\n") };
}

interface Scripted {
  readonly objects: readonly TicketObject[];
  readonly differences: readonly Difference[];
}

/** The ticket's objects, whose CUSTOM policies ask the authorizer that is given. */
export function withAuthorizer(objects: readonly TicketObject[], authorizer: Authorizer | undefined): Scripted {
  if (authorizer === undefined) return { objects, differences: [] };
  const { status } = authorizer;
  return {
    objects: objects.map((object) =>
      isCustom(object)
        ? { ...object, spec: { ...object.spec, provider: { name: PROVIDER } }, scripted: true as const }
        : object,
    ),
    differences: objects.filter(isCustom).map((object) => ({
      kind: "authorizer",
      object: refOf(object),
      provider: providerOf(object),
      status,
      decides: "no",
    })),
  };
}
