/** What a profile gets where it says nothing. Values only; each is named so that documents and tests can quote it. */

/** Tokens per slot where no context is given, or fewer where the model was trained for fewer. */
export const DEFAULT_CONTEXT_PER_SLOT = 4096;
export const DEFAULT_SLOTS = 1;
/** A slot with less cannot hold a question and an answer. */
export const MIN_CONTEXT_PER_SLOT = 32;
export const MAX_CONTEXT_TOKENS = 2 ** 24;

/** An idle model on demand leaves after this. */
export const DEFAULT_TTL_MS = 300_000;
/** 0 … 9; models of lower priority leave first. */
export const DEFAULT_PRIORITY = 5;

/** Longest wait for a slot. */
export const DEFAULT_QUEUE_MS = 30_000;
/** A whole request. */
export const DEFAULT_REQUEST_MS = 600_000;
/** A load; the pool adds time for each GiB of the model. */
export const DEFAULT_LOAD_MS = 120_000;
/** From sending an attempt to the host's answer; on a machine under load a second is too short. */
export const DEFAULT_ACK_MS = 5_000;
/** Silence between two frames of a running sequence. */
export const DEFAULT_TOKEN_MS = 60_000;
/** What running requests of a model get to end that leaves in a switch of profiles. */
export const DEFAULT_DRAIN_MS = 30_000;
/** Attempts after the first. */
export const DEFAULT_RETRIES = 2;

/** Longest duration a profile may name; timers of the platform end a little above three weeks. */
export const MAX_DURATION_MS = 7 * 24 * 3_600_000;
/** Models of one profile. */
export const MAX_MODELS = 64;
/** Models that may share a process: they also share its end. */
export const MAX_HOST_MODELS = 8;
/** Routes of one profile. */
export const MAX_ROUTES = 256;
