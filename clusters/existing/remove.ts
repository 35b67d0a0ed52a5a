import type { V1Namespace } from "@kubernetes/client-node";
import { MeshproofError } from "../../harness/errors.ts";
import { messageOf, statusOf, type Kube, type Manifest } from "../../harness/kube/client.ts";
import type { ObjectRef } from "../../harness/kube/journal.ts";
import { waitFor } from "../../harness/kube/wait.ts";
import type { Progress } from "../../harness/progress.ts";
import type { Journal } from "./journal.ts";

/** On every object of a run. */
export const RUN_LABEL = "meshproof.dev/run";

/** How long the API server may take to empty a namespace. */
const LIMIT_MS = 180_000;

export interface Removal {
  /** Objects that the run created, or was about to. */
  readonly created: number;
  /** Kinds that were listed afterwards, to prove that nothing is left. */
  readonly kinds: number;
}

/**
 * Removes everything that a journal names and that is still this run's by its label, waits until it is gone, and proves it by
 * listing every kind that the API server has.
 * @throws ERR_CLUSTER_UNREACHABLE with what is left.
 */
export async function removeRun(kube: Kube, journal: Journal, progress: Progress): Promise<Removal> {
  const { run, namespaces } = journal.head;
  const outside = journal.objects.filter(
    ({ kind, namespace }) => kind !== "Namespace" && !namespaces.includes(namespace ?? ""),
  );
  for (const ref of [...outside].reverse()) await removeOwn(kube, run, ref);
  progress(`removing ${namespaces.join(", ")}`);
  const refs = namespaces.map((name): ObjectRef => ({ apiVersion: "v1", kind: "Namespace", name }));
  const going = (await Promise.all(refs.map((ref) => removeOwn(kube, run, ref)))).flatMap((found, index) =>
    found ? [namespaces[index] as string] : [],
  );
  await untilGone(kube, going);
  const { left, kinds } = await inventory(kube, run);
  if (left.length > 0)
    throw new MeshproofError("ERR_CLUSTER_UNREACHABLE", `of run ${run} there is still ${left.join(", ")}`, {
      hint: `meshproof cleanup ${run} tries again`,
    });
  return { created: journal.objects.length, kinds };
}

/** @returns whether there was one of this run. */
async function removeOwn(kube: Kube, run: string, ref: ObjectRef): Promise<boolean> {
  const { apiVersion, kind, namespace, name } = ref;
  const manifest: Manifest = { apiVersion, kind, metadata: { name, ...(namespace ? { namespace } : {}) } };
  try {
    const found = await kube.objects.read(manifest);
    if (found.metadata?.labels?.[RUN_LABEL] !== run) return false;
    return await kube.objects.remove(manifest);
  } catch (error) {
    if (statusOf(error) === 404) return false;
    throw error;
  }
}

async function untilGone(kube: Kube, names: readonly string[]): Promise<void> {
  const left = (seen: ReadonlyMap<string, V1Namespace>): string[] => names.filter((name) => seen.has(`/${name}`));
  await Promise.all(
    names.map((name) =>
      waitFor<V1Namespace, true>(
        kube,
        "/api/v1/namespaces",
        { fieldSelector: `metadata.name=${name}` },
        (seen) => (left(seen).includes(name) ? undefined : true),
        {
          limitMs: LIMIT_MS,
          code: "ERR_CLUSTER_UNREACHABLE",
          explain: (seen) =>
            left(seen)
              .map((each) => `namespace ${each} does not end: ${whyNot(seen.get(`/${each}`))}`)
              .join("; "),
        },
      ),
    ),
  );
}

function whyNot(namespace: V1Namespace | undefined): string {
  const conditions = namespace?.status?.conditions?.filter(({ status }) => status === "True") ?? [];
  return conditions.map(({ message }) => message).join(", ") || "the API server gives no reason";
}

/** `GET /api` and `GET /apis` as APIGroupDiscoveryList (Kubernetes 1.30 and newer). */
interface Discovery {
  readonly items: readonly {
    readonly metadata: { readonly name?: string };
    readonly versions: readonly {
      readonly version: string;
      readonly resources?: readonly { readonly resource: string; readonly verbs: readonly string[] }[];
    }[];
  }[];
}

const DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/** Lists every kind for what bears a run's label. */
export async function inventory(kube: Kube, run: string): Promise<{ left: string[]; kinds: number }> {
  const discovered = await Promise.all(["/api", "/apis"].map((path) => kube.objects.get<Discovery>(path, DISCOVERY)));
  const paths = discovered.flatMap(({ items }) =>
    items.flatMap(({ metadata: { name: group = "" }, versions }) =>
      versions
        .slice(0, 1)
        .flatMap(({ version, resources = [] }) =>
          resources
            .filter(({ verbs }) => verbs.includes("list"))
            .map(({ resource }) => `${group === "" ? "/api" : `/apis/${group}`}/${version}/${resource}`),
        ),
    ),
  );
  const left: string[] = [];
  let next = 0;
  let kinds = 0;
  const lane = async (): Promise<void> => {
    for (let path = paths[next++]; path; path = paths[next++]) {
      try {
        const query = `labelSelector=${encodeURIComponent(`${RUN_LABEL}=${run}`)}`;
        const { items } = await kube.objects.get<{ items?: { metadata?: { namespace?: string; name?: string } }[] }>(
          `${path}?${query}`,
        );
        kinds++;
        for (const { metadata } of items ?? [])
          left.push(
            `${path.split("/").at(-1)} ${metadata?.namespace ? `${metadata.namespace}/` : ""}${metadata?.name}`,
          );
      } catch (error) {
        // Kinds that this user may not list are none that it can have created.
        if (statusOf(error) !== 403 && statusOf(error) !== 404 && statusOf(error) !== 405)
          throw new MeshproofError("ERR_CLUSTER_UNREACHABLE", `${path} cannot be listed: ${messageOf(error)}`, {
            cause: error,
          });
      }
    }
  };
  await Promise.all(Array.from({ length: 8 }, lane));
  return { left, kinds };
}
