import type { RunOptions } from "./run.ts";

/** What a recipe gets to work with; everything it writes goes below `files` and `work`. */
export interface Workshop {
  /** Becomes the component; exists and is empty. */
  readonly files: string;
  /** For downloads and the like; exists, is empty, and is removed afterwards. */
  readonly work: string;
  readonly cache: string;
  readonly signal: AbortSignal | undefined;
  readonly progress: (line: string) => void;
  /** Runs a program, logged; see run.ts. */
  run(command: readonly [string, ...string[]], options?: Omit<RunOptions, "log" | "signal">): Promise<string>;
}

/** How one component is made. */
export interface Recipe {
  readonly name: string;
  readonly version: string;
  /** Where it comes from, for people. */
  readonly source: string;
  /** For the progress line, such as `3 programs, about 3 min`. */
  readonly effort: string;
  /** All inputs that decide the content; their hash is part of the folder's name. Name, version and architecture are added. */
  inputs(): Promise<readonly string[]>;
  /** Builds the files; returns facts about them, such as versions that only the build knows. */
  build(shop: Workshop): Promise<Readonly<Record<string, string>>>;
  /** Of what is compiled: downloads the sources, while something else is compiled. Such recipes are built one after the other. */
  download?(shop: Omit<Workshop, "files" | "work">): Promise<void>;
  /** Told once the component is in the cache, built now or long ago. */
  installed?(): Promise<void>;
}
