/** Lists every kind of a cluster for objects with a run's label. */

import { MeshproofError } from "../../harness/model/errors.ts";
import { messageOf } from "../../harness/mesh/api-error.ts";
import type { Kube } from "../../harness/mesh/client.ts";
import { NONCE_ANNOTATION, RUN_LABEL } from "../../harness/mesh/ledger.ts";

/** An object with a run's label. That proves nothing: only a journal shows who created it. */
export interface Labelled {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
  readonly uid: string;
  readonly run: string;
  readonly nonce: string;
}

export interface Inventory {
  readonly found: readonly Labelled[];
  /** How many kinds were listed. */
  readonly kinds: number;
  /** Kinds that could not be listed, `nodes (forbidden)`. */
  readonly unlisted: readonly { readonly group: string; readonly kind: string; readonly why: string }[];
}

/** `GET /api` and `GET /apis` as APIGroupDiscoveryList (Kubernetes 1.30 and newer). */
interface Discovery {
  readonly items: readonly {
    readonly metadata: { readonly name?: string };
    readonly versions: readonly {
      readonly version: string;
      readonly resources?: readonly {
        readonly resource: string;
        readonly responseKind?: { readonly kind?: string };
        readonly verbs: readonly string[];
      }[];
    }[];
  }[];
}

interface MetadataList {
  /** null if there are none. */
  readonly items?:
    | readonly {
        readonly metadata?: {
          readonly namespace?: string;
          readonly name?: string;
          readonly uid?: string;
          readonly labels?: Readonly<Record<string, string>>;
          readonly annotations?: Readonly<Record<string, string>>;
        };
      }[]
    | null;
}

const DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
/** Lists only metadata, so that no content of Secrets is read. */
const METADATA = "application/json;g=meta.k8s.io;v=v1;as=PartialObjectMetadataList,application/json";
const LANES = 8;

/**
 * @param run default any
 * @throws MeshproofError ERR_CLUSTER_UNREACHABLE if discovery fails
 */
export async function takeInventory(kube: Kube, run?: string): Promise<Inventory> {
  const kinds = await discover(kube);
  const selector = encodeURIComponent(run === undefined ? RUN_LABEL : `${RUN_LABEL}=${run}`);
  const found: Labelled[] = [];
  const unlisted: { group: string; kind: string; why: string }[] = [];
  let next = 0;
  let listed = 0;
  const lane = async (): Promise<void> => {
    for (let each = kinds[next++]; each; each = kinds[next++]) {
      const { group, version, resource, kind } = each;
      const apiVersion = group === "" ? version : `${group}/${version}`;
      try {
        const path = `${group === "" ? "/api" : `/apis/${group}`}/${version}/${resource}?labelSelector=${selector}`;
        const { items } = await kube.objects.get<MetadataList>(path, METADATA);
        listed++;
        for (const { metadata: { namespace, name = "", uid = "", labels, annotations } = {} } of items ?? [])
          found.push({
            apiVersion,
            kind,
            name,
            uid,
            ...(namespace === undefined ? {} : { namespace }),
            run: labels?.[RUN_LABEL] ?? "",
            nonce: annotations?.[NONCE_ANNOTATION] ?? "",
          });
      } catch (error) {
        unlisted.push({ group, kind, why: messageOf(error) });
      }
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return { found, kinds: listed, unlisted };
}

async function discover(kube: Kube): Promise<{ group: string; version: string; resource: string; kind: string }[]> {
  try {
    const parts = await Promise.all(["/api", "/apis"].map((path) => kube.objects.get<Discovery>(path, DISCOVERY)));
    return parts.flatMap(({ items }) =>
      items.flatMap(({ metadata: { name: group = "" }, versions }) =>
        versions.slice(0, 1).flatMap(({ version, resources = [] }) =>
          resources
            .filter(({ verbs }) => verbs.includes("list"))
            .map(({ resource, responseKind }) => ({
              group,
              version,
              resource,
              kind: responseKind?.kind ?? resource,
            })),
        ),
      ),
    );
  } catch (cause) {
    throw new MeshproofError("ERR_CLUSTER_UNREACHABLE", `the API server does not list its kinds: ${messageOf(cause)}`, {
      cause,
    });
  }
}
