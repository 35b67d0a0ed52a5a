/** Checks how a context logs in with a program (client-go's exec plugins and auth providers). */

import { accessSync, constants, statSync } from "node:fs";
import path from "node:path";
import { MeshproofError } from "../../harness/model/errors.ts";
import type { Fields } from "./kubeconfig-fields.ts";

/**
 * Environment variables that a kubeconfig may set for an allowed program: they only choose one of the user's own accounts. Others
 * (PATH, LD_PRELOAD, NODE_OPTIONS, AWS_CONFIG_FILE, CLOUDSDK_PYTHON, BROWSER, …) may make it run other programs.
 */
const HARMLESS_VARIABLES: ReadonlySet<string> = new Set([
  "AAD_LOGIN_METHOD",
  "AWS_DEFAULT_PROFILE",
  "AWS_DEFAULT_REGION",
  "AWS_PROFILE",
  "AWS_REGION",
  "AWS_STS_REGIONAL_ENDPOINTS",
  "AZURE_CLIENT_ID",
  "AZURE_SUBSCRIPTION_ID",
  "AZURE_TENANT_ID",
  "CLOUDSDK_ACTIVE_CONFIG_NAME",
  "CLOUDSDK_CORE_ACCOUNT",
  "CLOUDSDK_CORE_PROJECT",
  "OCI_CLI_PROFILE",
  "OCI_CLI_REGION",
  "USE_GKE_GCLOUD_AUTH_PLUGIN",
]);

/** Fields of client-go's `oidc` provider, which runs no program. */
const OIDC_FIELDS: ReadonlySet<string> = new Set([
  "client-id",
  "client-secret",
  "extra-scopes",
  "id-token",
  "idp-certificate-authority",
  "idp-certificate-authority-data",
  "idp-issuer-url",
  "refresh-token",
]);

/** The program that a context runs to log in. */
interface Exec {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: readonly { readonly name: string; readonly value: string }[];
}

/**
 * Returns a user of a kubeconfig whose login program, if any, is allowed and has its absolute path.
 * @param allowed values of --allow-exec: a program's absolute path, or its name, which is looked up in PATH
 * @throws MeshproofError ERR_CLUSTER_REFUSED for a program that was not allowed, or that the kubeconfig could turn into another
 *   one; ERR_USAGE for an allowed one that is named by a relative path
 */
export function settleLogin(
  user: Fields,
  { context, allowed, env = process.env }: { context: string; allowed: readonly string[]; env?: NodeJS.ProcessEnv },
): Fields {
  const refuse = (why: string, hint: string): MeshproofError =>
    new MeshproofError("ERR_CLUSTER_REFUSED", `the context "${context}" ${why}`, { hint });
  for (const name of allowed)
    if (name.includes("/") && !path.isAbsolute(name))
      throw new MeshproofError("ERR_USAGE", `--allow-exec takes an absolute path or a name in PATH, not "${name}"`, {
        hint: `give the absolute path: --allow-exec ${path.resolve(name)}`,
      });
  if (user["exec"] && user["auth-provider"])
    throw refuse("logs in by both exec and auth-provider", "kubectl refuses that too: leave one of them");
  if (user["auth-provider"]) return withoutProgram(user, refuse);
  if (!user["exec"]) return user;

  const exec = readExec(user["exec"], refuse);
  const line = [exec.command, ...exec.args].join(" ");
  if (exec.command.includes("/") && !path.isAbsolute(exec.command))
    throw refuse(
      `runs a program by a relative path to log in: ${line}`,
      "write its absolute path into the kubeconfig, and allow that path",
    );
  const program = path.isAbsolute(exec.command) ? exec.command : findInPath(exec.command, env);
  if (program === undefined)
    throw refuse(
      `runs ${exec.command} to log in, which is not in PATH: ${line}`,
      "install it, or name another context",
    );
  // A path in the kubeconfig must be allowed as a path: another program may have the same name.
  if (!allowed.includes(exec.command) && !allowed.includes(program))
    throw refuse(
      `runs the program ${program} to log in, which was not allowed: ${line}`,
      `allow it: --allow-exec ${exec.command}`,
    );
  const odd = exec.env.filter(({ name }) => !HARMLESS_VARIABLES.has(name)).map(({ name }) => name);
  if (odd.length > 0)
    throw refuse(
      `sets ${odd.join(", ")} for the program ${program}, which may change what it runs`,
      "set what it needs in your own environment, and take it out of the kubeconfig's exec.env",
    );
  return { ...user, exec: { ...(user["exec"] as Fields), command: program } };
}

type Refuse = (why: string, hint: string) => MeshproofError;

function readExec(value: unknown, refuse: Refuse): Exec {
  const { command, args = [], env = [] } = value as Record<string, unknown>;
  const isText = (each: unknown): each is string => typeof each === "string";
  const isVariable = (each: unknown): boolean => isText((each as Fields | null)?.["name"]);
  if (!isText(command) || command === "")
    throw refuse("has an exec without a command", "try kubectl with this context");
  // kubectl writes an empty list as null.
  const [words, variables] = [args ?? [], env ?? []];
  if (!Array.isArray(words) || !words.every(isText) || !Array.isArray(variables) || !variables.every(isVariable))
    throw refuse(
      "has an exec whose args or env cannot be read",
      "args is a list of texts, env a list of objects with name and value",
    );
  return { command, args: words, env: variables as Exec["env"] };
}

/** Since 1.26 kubectl supports only the auth provider `oidc`; the older ones ran a program. */
function withoutProgram(user: Fields, refuse: Refuse): Fields {
  const { name, config } = user["auth-provider"] as { name?: unknown; config?: Fields | null };
  if (name !== "oidc")
    throw refuse(
      `logs in by the auth-provider ${String(name)}, which kubectl does not have any more`,
      "log in by an exec plugin: the provider's command line writes one",
    );
  const odd = Object.keys(config ?? {}).filter((field) => !OIDC_FIELDS.has(field));
  if (odd.length > 0)
    throw refuse(
      `has an auth-provider oidc with ${odd.join(", ")}, which kubectl does not know there`,
      "put a login program into exec, and allow it with --allow-exec",
    );
  return user;
}

/** Looks a program up like execvp(3), but never in the current folder. */
function findInPath(name: string, env: NodeJS.ProcessEnv): string | undefined {
  return (env["PATH"] ?? "")
    .split(path.delimiter)
    .filter((folder) => path.isAbsolute(folder))
    .map((folder) => path.join(folder, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return statSync(file).isFile();
      } catch {
        return false;
      }
    });
}
