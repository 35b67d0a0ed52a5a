import { execa, ExecaError } from "execa";
import { MeshproofError } from "../../harness/model/errors.ts";

/** Hint for users without Docker. */
const WITHOUT_DOCKER = "the embedded cluster needs no Docker: meshproof run --cluster embedded";

export interface DockerOptions {
  /** Standard input: text, or a file that is read. */
  readonly input?: string | { readonly file: string };
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs the docker command line, which uses the user's contexts, mirrors and credentials.
 * @returns its standard output.
 * @throws ERR_MISSING_PROGRAM without docker or its daemon, ERR_CLUSTER_START with docker's message, ERR_INTERRUPTED.
 */
export async function docker(args: readonly string[], options: DockerOptions = {}): Promise<string> {
  const { input, signal } = options;
  const stdin =
    input === undefined
      ? { stdin: "ignore" as const }
      : typeof input === "string"
        ? { input }
        : { stdin: { file: input.file } };
  try {
    const { stdout } = await execa("docker", args, { ...stdin, ...(signal ? { cancelSignal: signal } : {}) });
    return stdout;
  } catch (cause) {
    if (signal?.aborted) throw new MeshproofError("ERR_INTERRUPTED", "interrupted", { cause });
    if (!(cause instanceof ExecaError)) throw cause;
    const said = String(cause.stderr ?? "").trim();
    throw (
      absence(cause.code, said) ??
      new MeshproofError(
        "ERR_CLUSTER_START",
        `docker ${args.slice(0, 2).join(" ")} failed: ${lastLines(said, 10) || cause.shortMessage}`,
        { cause },
      )
    );
  }
}

/** The error for a missing Docker, from docker's failure; undefined if Docker works. */
export function absence(code: string | undefined, said: string): MeshproofError | undefined {
  if (code === "ENOENT")
    return new MeshproofError("ERR_MISSING_PROGRAM", "a kind cluster needs Docker, which is not installed here", {
      hint: WITHOUT_DOCKER,
    });
  if (/cannot connect to the docker daemon|is the docker daemon running|error during connect/i.test(said))
    return new MeshproofError("ERR_MISSING_PROGRAM", "a kind cluster needs Docker, and no Docker daemon answers", {
      hint: WITHOUT_DOCKER,
    });
  if (/permission denied/i.test(said) && /docker daemon|docker\.sock/i.test(said))
    return new MeshproofError("ERR_MISSING_PROGRAM", "a kind cluster needs Docker, and this user may not use it", {
      hint: `add the user to the group docker, or: ${WITHOUT_DOCKER}`,
    });
  return undefined;
}

/**
 * Checks that a Docker daemon answers, and that testcontainers uses the same one as the docker command line.
 * @throws ERR_MISSING_PROGRAM with a hint.
 */
export async function requireDocker(signal?: AbortSignal): Promise<void> {
  await docker(["version", "--format", "{{.Server.Version}}"], { signal });
  if (process.env["DOCKER_HOST"] !== undefined) return;
  // testcontainers supports the variable and the usual sockets, but not docker's contexts.
  const host = (await docker(["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"], { signal })).trim();
  if (host.startsWith("unix:") || host.startsWith("tcp:")) process.env["DOCKER_HOST"] = host;
}

/** Whether Docker has an image of this name, by tag, by digest or by both. */
export async function hasImage(image: string, signal?: AbortSignal): Promise<boolean> {
  try {
    await docker(["image", "inspect", "--format", "{{.Id}}", image], { signal });
    return true;
  } catch (error) {
    if (error instanceof MeshproofError && /no such image/i.test(error.message)) return false;
    throw error;
  }
}

export const lastLines = (text: string, count: number): string => text.trimEnd().split("\n").slice(-count).join("\n");
