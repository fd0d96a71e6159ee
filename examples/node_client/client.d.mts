// Types of the protocol and of the client. A test holds their members against protocol.schema.json.

export type Id = number | string;
export type Value = string | number | boolean | null | Value[];

/** Every other member is text that the model may see; at least one is not empty. */
export interface Item {
  id: string | number;
  /** ISO 8601, or seconds since 1970. */
  time?: string | number | null;
  [attribute: string]: Value | undefined;
}

/** An item, and what the user thought of it: disliked and skipped items speak against their like. */
export interface HistoryItem extends Item {
  feedback?: "like" | "dislike" | "skip" | null;
  /** More is better; text that is no number is an attribute. */
  rating?: number | string | null;
}

export interface User {
  /** Needed to supersede and to forget. */
  user_id?: string | number;
  /** Oldest first. */
  history: HistoryItem[];
  /** The worst and the best rating that history items can have. */
  rating_scale?: [number | string, number | string] | null;
  candidates?: Item[] | null;
}

export type Strategy = "hierarchical" | "recurrent" | "none";
export type Priority = "high" | "normal" | "low";

export interface InitializeParams {
  protocol?: number | null;
  client?: object | null;
}

export interface UserParams {
  user: User;
  /** A bundle folder, a .gguf file, `user/repo[:TYPE]`, or `smollm2`. */
  model?: string | null;
  strategy?: Strategy | null;
  domain?: "item" | "news" | "product" | null;
  attributes?: string[] | null;
  prompt_tokens?: number | null;
  sort_history?: boolean;
  /** Add every summary, and whether it was cached or made now. */
  explain?: boolean;
  /** Earlier unanswered requests of the same method and user are stale, and end. */
  supersede?: boolean;
}

export interface SummarizeParams extends UserParams {
  priority?: Priority;
}

export interface RecommendParams extends UserParams {
  candidates?: Item[] | null;
  k?: number;
  /** Reproducible to the bit, slower. */
  exact?: boolean;
  /** Seconds, waiting included, within which to answer as well as possible. */
  budget?: number | null;
  /** What ranks: `["all"]`, `["simple"]` (all but the model), `["model"]`, or signals by name. */
  signals?: string[] | null;
  /** Candidates that the model scores: the best by the other signals. 0 means all. */
  rerank?: number | null;
  /** The user's own preference text, in place of a generated one. */
  summary?: string | null;
  /** Whether to tell the order of the other signals first: see `onPartial`. */
  partial?: boolean;
  priority?: Priority;
}

export interface UpdateParams extends UserParams {
  item: HistoryItem;
  priority?: Priority;
}

export interface InitializeResult {
  protocol: 1;
  server: { name: "trsr-lite"; version: string };
  versions: { llama_cpp_python: string; prompt_version: string; result_schema: 1 };
  capabilities: { methods: string[]; notifications: ["progress", "partial"]; priorities: Priority[]; batch: false };
  limits: { line_bytes: number; waiting_requests: number; waiting_bytes: number; open_models: number };
}

export interface Model {
  name: string;
  summarizer: string;
  recommender: string;
  prompt_version: string;
}

export interface Stats {
  history_items: number;
  blocks: number;
  summary_calls: number;
  summary_cache_hits: number;
  prefix_tokens: number;
  candidate_tokens: number;
  evaluated_tokens: number;
  margin_cache_hits: number;
  generated_tokens: number;
  dropped_items: number;
  seconds: Record<string, number>;
}

export interface SummaryNode {
  kind: "block" | "merge" | "update";
  source: "cache" | "fresh";
  text: string;
  items: string[];
}

export interface UserResult {
  schema: 1;
  user_id: string;
  strategy: Strategy;
  summary: string | null;
  model: Model;
  summaries?: SummaryNode[];
  stats: Stats;
}

export interface Recommendation {
  rank: number;
  id: string;
  title: string;
  /** A probability. */
  score: number;
  /** What ranking uses: the model's logit(yes) - logit(no), or the sum of `parts`. */
  margin: number;
  /** Null where the model did not score it. */
  label_mass: number | null;
  /** The difference to a neighbour is within the noise of computing. */
  tied: boolean;
  /** What each signal adds to the margin. */
  parts: Record<string, number>;
  /** The nearest items of the history, by id, nearest first. */
  because: string[];
}

export interface RecommendResult extends UserResult {
  /** Absent where a budget left no time for any candidate. */
  recommendations?: Recommendation[];
  /** What a budget left no time for. */
  skipped?: { blocks: number; candidates: string[] };
}

export interface ForgetResult {
  forgotten: number;
}

export interface StatusResult {
  running: ({ id: Id | null; method: string } & Partial<Omit<Progress, "id">>) | null;
  waiting: { id: Id | null; method: string; priority: Priority }[];
  models: { model: string; trained: boolean | null; hint: string | null; settings: object }[];
  memory_bytes: number;
}

export interface Progress {
  id: Id;
  /** `prepare: …`, `fetch …`, `load`, `summarize` or `score`. */
  stage: string;
  /** Of this stage. */
  fraction: number;
  /** Tokens a second, where known. */
  rate: number | null;
}

export interface Options {
  onProgress?: (progress: Progress) => void;
  /** Given the first order of a `recommend` with `partial`, before the model has settled it. */
  onPartial?: (result: RecommendResult) => void;
  /** Aborting it cancels the request, which then rejects with the signal's reason. */
  signal?: AbortSignal;
}

export class ServerError extends Error {
  /** JSON-RPC's code, an exit code of the command line, or what the client found: the server has ended, the request is
   * longer than the server reads, or what the server said is no JSON. */
  code: number | "ENDED" | "TOO_LONG" | "NO_JSON";
  /** The next step, for a person. */
  hint?: string;
  /** Why a request was stopped. */
  reason?: "cancelled" | "superseded" | "forgotten" | "shutdown" | "ended";
}

export class Client {
  /** Starts the server, by default `trsr-lite serve`. */
  constructor(options?: { command?: [string, ...string[]]; env?: Record<string, string | undefined> });
  initialize(params?: InitializeParams, options?: Options): Promise<InitializeResult>;
  recommend(params: RecommendParams, options?: Options): Promise<RecommendResult>;
  summarize(params: SummarizeParams, options?: Options): Promise<UserResult>;
  /** The summary of the history with `item` at its end. */
  update(params: UpdateParams, options?: Options): Promise<UserResult>;
  forget(userId: string): Promise<ForgetResult>;
  status(): Promise<StatusResult>;
  /** Ends every request, then the server; the exit code or signal of its process, or why it did not start. */
  close(): Promise<number | string>;
}
