import { KubeConfig } from "@kubernetes/client-node";
import { MeshproofError } from "../../harness/model/errors.ts";
import { settleLogin } from "./login.ts";
import { readKubeconfig, settle, treat } from "./kubeconfig-fields.ts";

export interface KubeconfigOptions {
  /** Path of a kubeconfig; default kubectl's. */
  readonly kubeconfig?: string;
  readonly context?: string;
  /** Programs that a context may run to log in: absolute paths, or names that are looked up in PATH. */
  readonly allowExec: readonly string[];
}

/** A single context of a kubeconfig. */
export interface PinnedContext {
  readonly context: string;
  /** URL of the API server. */
  readonly server: string;
  readonly config: KubeConfig;
  /** A kubeconfig with exactly this context, as JSON; it contains credentials. */
  readonly text: string;
  /** Reports for the user about its fields. */
  readonly told: readonly string[];
}

/**
 * Reads a kubeconfig once and keeps the named context, so that switching the current context does not affect the run.
 * @throws ERR_CLUSTER_REFUSED if no context or an unknown one is named, if it runs a program that was not allowed, or if it
 * has a field that the library treats differently from kubectl.
 */
export function pinContext(options: KubeconfigOptions): PinnedContext {
  const all = readKubeconfig(options.kubeconfig);
  const names = [...all.contexts.keys()];
  const known = names.length === 0 ? "it has none" : `it has ${names.join(", ")}`;
  const source = options.kubeconfig ?? "the kubeconfig that kubectl would read";
  if (options.context === undefined)
    throw new MeshproofError(
      "ERR_CLUSTER_REFUSED",
      `no context is named, and meshproof does not use the current one of ${source}: ${known}`,
      {
        hint: "name the one that meshproof may use: --context NAME",
      },
    );
  const context = all.contexts.get(options.context);
  const cluster = all.clusters.get(String(context?.["cluster"]));
  const user = all.users.get(String(context?.["user"]));
  const server = cluster?.["server"];
  if (!context || !cluster || !user || typeof server !== "string")
    throw new MeshproofError("ERR_CLUSTER_REFUSED", `${source} has no usable context "${options.context}": ${known}`, {
      hint: "kubectl config get-contexts lists them",
    });
  const settled = settleLogin(user, { context: options.context, allowed: options.allowExec });
  const treated = [treat("cluster", cluster), treat("user", user)];
  const [refused] = treated.flatMap((each) => each.refused);
  if (refused !== undefined)
    throw new MeshproofError("ERR_CLUSTER_REFUSED", `the context "${options.context}" cannot be used: ${refused}`, {
      hint: "name a context without this field",
    });
  const name = options.context;
  const text = JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name, cluster: settle("cluster", cluster) }],
    users: [{ name, user: settle("user", settled) }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    "current-context": name,
  });
  const config = new KubeConfig();
  config.loadFromString(text);
  return { context: name, server, config, text, told: treated.flatMap((each) => each.told) };
}
