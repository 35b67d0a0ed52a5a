import path from "node:path";
import { KubeConfig } from "@kubernetes/client-node";
import { MeshproofError } from "../../harness/errors.ts";
import { messageOf } from "../../harness/kube/client.ts";

export interface KubeconfigOptions {
  /** A kubeconfig; default what kubectl would read. */
  readonly kubeconfig?: string;
  readonly context?: string;
  /** Programs that a context may run to log in, by their file names. */
  readonly allowExec: readonly string[];
}

/** One context of a kubeconfig and nothing else. */
export interface PinnedContext {
  readonly context: string;
  /** URL of the API server. */
  readonly server: string;
  readonly config: KubeConfig;
  /** A kubeconfig with exactly this context, as JSON; holds credentials. */
  readonly text: string;
}

/**
 * Reads a kubeconfig once and keeps the named context: whoever switches contexts meanwhile does not move the run.
 * @throws ERR_CLUSTER_REFUSED where no or an unknown context is named, or one that runs a program which was not allowed.
 */
export function pinContext(options: KubeconfigOptions): PinnedContext {
  const all = load(options.kubeconfig);
  const names = all.getContexts().map(({ name }) => name);
  const known = names.length === 0 ? "it has none" : `it has ${names.join(", ")}`;
  const source = options.kubeconfig ?? "the kubeconfig that kubectl would read";
  if (options.context === undefined)
    throw new MeshproofError("ERR_CLUSTER_REFUSED", `no context is named, and ${source} may lead anywhere: ${known}`, {
      hint: "name the one that meshproof may use: --context NAME",
    });
  const context = all.getContextObject(options.context);
  const cluster = context && all.getCluster(context.cluster);
  const user = context && all.getUser(context.user);
  if (!context || !cluster || !user)
    throw new MeshproofError("ERR_CLUSTER_REFUSED", `${source} has no usable context "${options.context}": ${known}`, {
      hint: "kubectl config get-contexts lists them",
    });
  const program = programOf(user);
  if (program !== undefined && !options.allowExec.includes(path.basename(program)))
    throw new MeshproofError(
      "ERR_CLUSTER_REFUSED",
      `the context "${options.context}" runs the program ${program} to log in, which was not allowed`,
      { hint: `allow it by name: --allow-exec ${path.basename(program)}` },
    );
  const config = new KubeConfig();
  config.loadFromOptions({ clusters: [cluster], users: [user], contexts: [context], currentContext: context.name });
  return { context: context.name, server: cluster.server, config, text: config.exportConfig() };
}

function load(file: string | undefined): KubeConfig {
  const config = new KubeConfig();
  try {
    if (file === undefined) config.loadFromDefault();
    else config.loadFromFile(file);
  } catch (cause) {
    throw new MeshproofError(
      "ERR_CLUSTER_REFUSED",
      `the kubeconfig ${file ?? ""} cannot be read: ${messageOf(cause)}`,
      {
        hint: "--kubeconfig FILE names another",
        cause,
      },
    );
  }
  return config;
}

/** What a context would run on this machine: an exec plugin, or the older auth provider's command. */
function programOf(user: { readonly exec?: unknown; readonly authProvider?: unknown }): string | undefined {
  const exec = user.exec as { command?: string } | undefined;
  const provider = user.authProvider as { name?: string; config?: Record<string, string> } | undefined;
  return exec?.command ?? provider?.config?.["cmd-path"] ?? (provider ? (provider.name ?? "auth-provider") : undefined);
}
