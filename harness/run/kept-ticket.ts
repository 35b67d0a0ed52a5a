/** What `repro` leaves on a kept cluster, so that the commands on its page work: it goes before anything else is asked there. */

import { inLanes } from "../lanes.ts";
import { applyManifest } from "../mesh/apply.ts";
import { isOfGatewayApiGroup } from "../model/target.ts";
import type { Kube, Manifest } from "../mesh/client.ts";
import { gatewayGone } from "./gateways.ts";

const NAMESPACE = "kube-system";

/** Lists the objects, with their uids. */
const LIST = "meshproof-ticket";

/** Tokens by name, which expire within hours. */
const TOKENS = "meshproof-ticket-tokens";

interface KeptObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
  readonly uid: string;
}

/** Records what stays in the cluster. @param tokens by name */
export async function keepTicket(
  kube: Kube,
  manifests: readonly Manifest[],
  tokens: Readonly<Record<string, string>>,
): Promise<void> {
  const found = await inLanes(manifests, async ({ apiVersion, kind, metadata: { name, namespace } }) => {
    const ref = { apiVersion, kind, name, ...(namespace === undefined ? {} : { namespace }) };
    const uid = (await kube.objects.find(ref))?.metadata.uid;
    return uid === undefined ? [] : [{ ...ref, uid } satisfies KeptObject];
  });
  const metadata = (name: string): Manifest["metadata"] => ({ namespace: NAMESPACE, name });
  await applyManifest(kube, {
    ...{ apiVersion: "v1", kind: "ConfigMap", metadata: metadata(LIST) },
    data: { objects: JSON.stringify(found.flat()) },
  });
  await applyManifest(kube, { apiVersion: "v1", kind: "Secret", metadata: metadata(TOKENS), stringData: tokens });
}

/** Removes what a ticket has left. */
export async function removeKeptTicket(kube: Kube): Promise<void> {
  const { objects } = kube;
  const list = { apiVersion: "v1", kind: "ConfigMap", namespace: NAMESPACE, name: LIST };
  const found = await objects.find(list);
  const uid = found?.metadata.uid;
  if (found === undefined || uid === undefined) return;
  const kept = JSON.parse((found as { data?: Record<string, string> }).data?.["objects"] ?? "[]") as KeptObject[];
  // An object that was replaced since has another uid, and belongs to what replaced it.
  await inLanes(kept.toReversed(), async ({ uid: own, ...ref }) => await objects.removeExactly(ref, own));
  // The next ticket may have a Gateway of the same name, and what istiod has made for this one goes later.
  await inLanes(kept, async ({ namespace = "", name, ...object }) => {
    if (object.kind === "Gateway" && isOfGatewayApiGroup(object)) await gatewayGone(kube, namespace, name);
  });
  const secret = { apiVersion: "v1", kind: "Secret", namespace: NAMESPACE, name: TOKENS };
  const tokens = (await objects.find(secret))?.metadata.uid;
  if (tokens !== undefined) await objects.removeExactly(secret, tokens);
  await objects.removeExactly(list, uid);
}

/** The command that sends a request again, with the tokens that are in the cluster. @param curl a command of kubectl */
export function againOn(cluster: string, curl: string, tokens: readonly { readonly name: string }[]): string {
  const kubectl = `npx meshproof kubectl --name ${cluster}`;
  const variables = tokens.map(({ name }, index) => {
    const template = `'go-template={{index .data "${name}" | base64decode}}'`;
    return `TOKEN${index === 0 ? "" : index + 1}=$(${kubectl} get secret -n ${NAMESPACE} ${TOKENS} -o ${template})`;
  });
  return [...variables, curl.replace(/^kubectl /, `${kubectl} `)].join("; ");
}
