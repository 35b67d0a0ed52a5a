import { PROVIDERS } from "../mesh/extension-providers.ts";
import type { MeshSetting } from "../model/cluster.ts";
import { ROOT_NAMESPACE } from "../model/cluster.ts";

/** The mesh config of meshproof's own meshes, as far as it decides about requests. */
export function meshConfigOf({ pathNormalization = "BASE" }: MeshSetting): Readonly<Record<string, unknown>> {
  return {
    rootNamespace: ROOT_NAMESPACE,
    trustDomain: "cluster.local",
    extensionProviders: PROVIDERS,
    ...(pathNormalization !== "BASE" && { pathNormalization: { normalization: pathNormalization } }),
  };
}
