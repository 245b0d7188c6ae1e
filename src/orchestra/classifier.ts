/**
 * What kind of task a text is and how hard, by rules alone: free, deterministic, explainable. Knows no profile and no
 * model. The text is data: a task that names a route ("send this to …") gets no say in it.
 */
import type { Prompt } from '../schema/load.js';
import type { Complexity, Kind, Rule } from '../schema/profile.js';

export interface Classification {
  readonly kind: Kind;
  readonly complexity: Complexity;
  /** 0 … 1: how much of the evidence points this way. */
  readonly confidence: number;
  /** The signs that were seen, in words. */
  readonly reason: string;
}

/** Only this much of the beginning and of the end is looked at, so that a huge prompt costs no more than a small one. */
const VIEW_CHARACTERS = 2000;

interface Sign {
  readonly kind: Kind;
  readonly pattern: RegExp;
  readonly says: string;
  /** Weight of one match; 3 decides against anything weaker. */
  readonly weight: number;
}

const SIGNS: readonly Sign[] = [
  {
    kind: 'code',
    weight: 3,
    says: 'a code block',
    pattern: /```|^\s*(def|class|import|#include|fn|func|public|const) /m,
  },
  {
    kind: 'code',
    weight: 3,
    says: 'an error trace',
    pattern: /\b(Traceback|stack ?trace|Exception in thread|segfault|SyntaxError|TypeError)\b/i,
  },
  {
    kind: 'code',
    weight: 2,
    says: 'a programming task',
    pattern: /\b(function|program|script|regex|refactor|unit tests?|compile|debug|bug|API|SQL|query|algorithm)\b/i,
  },
  {
    kind: 'code',
    weight: 2,
    says: 'a programming language',
    pattern: /\b(python|javascript|typescript|rust|golang|java|kotlin|swift|bash|html|css|haskell|ruby|php)\b|\bC\+\+/i,
  },
  {
    kind: 'summary',
    weight: 3,
    says: 'a request to summarise',
    pattern: /\b(summari[sz]e|summary|tl;?dr|in a nutshell|condense|key points|zusammenfass\w*|résume[rz]?)\b/i,
  },
  {
    kind: 'critique',
    weight: 3,
    says: 'a request to review',
    pattern: /\b(review|critique|criticise|criticize|proofread|give (me )?feedback|what is wrong with|weaknesses)\b/i,
  },
  {
    kind: 'planning',
    weight: 3,
    says: 'a request to plan',
    pattern: /\b(plan|roadmap|schedule|itinerary|milestones?|step[- ]by[- ]step plan|strategy|organi[sz]e)\b/i,
  },
  {
    kind: 'reasoning',
    weight: 3,
    says: 'a proof or derivation',
    pattern: /\b(prove|proof|derive|theorem|lemma|integral|equation|puzzle|riddle|logic(al)?)\b/i,
  },
  {
    kind: 'reasoning',
    weight: 2,
    says: 'a question of why or how much',
    pattern: /\b(why|explain why|reason(ing)?|calculate|compute|solve|how many|probability|trade-?offs?|compare)\b/i,
  },
];

const HARD =
  /\b(prove|design|architect(ure)?|optimi[sz]e|trade-?offs?|in depth|detailed|comprehensive|rigorous|distributed|concurren\w+|essay|thesis|multi-?step)\b/gi;
const STEPS = /\b(first|then|after that|finally|next|and also|additionally)\b|^\s*(\d+[.)]|[-*])\s/gim;

/** Below this many characters, without signs of difficulty, a task is simple. */
const SIMPLE_CHARACTERS = 160;
/** From this many on a task is complex whatever it says. */
const COMPLEX_CHARACTERS = 4000;

/** The text that a decision may look at: the last user message, or the raw text. */
export function taskText(prompt: Prompt): string {
  if (prompt.kind === 'tokens') return '';
  if (prompt.kind === 'text') return prompt.text;
  return prompt.messages.findLast((message) => message.role === 'user')?.content ?? '';
}

function viewOf(text: string): string {
  if (text.length <= 2 * VIEW_CHARACTERS) return text;
  return `${text.slice(0, VIEW_CHARACTERS)}\n${text.slice(-VIEW_CHARACTERS)}`;
}

function kindOf(view: string): { kind: Kind; weight: number; total: number; says: string[] } {
  const seen = SIGNS.filter((sign) => sign.pattern.test(view));
  const weights = new Map<Kind, number>();
  for (const sign of seen) weights.set(sign.kind, (weights.get(sign.kind) ?? 0) + sign.weight);
  const [best] = [...weights].sort((a, b) => b[1] - a[1]);
  const total = [...weights.values()].reduce((sum, weight) => sum + weight, 0);
  if (best === undefined) return { kind: 'chat', weight: 0, total: 0, says: [] };
  return { kind: best[0], weight: best[1], total, says: seen.filter((s) => s.kind === best[0]).map((s) => s.says) };
}

function complexityOf(text: string, view: string, kind: Kind): { complexity: Complexity; says: string } {
  const hard = view.match(HARD)?.length ?? 0;
  const steps = view.match(STEPS)?.length ?? 0;
  if (text.length >= COMPLEX_CHARACTERS) return { complexity: 'complex', says: 'a long task' };
  if (hard >= 2 || (hard >= 1 && steps >= 2)) return { complexity: 'complex', says: 'several signs of difficulty' };
  if (hard === 1 || steps >= 3)
    return { complexity: 'moderate', says: hard === 1 ? 'a sign of difficulty' : 'several steps' };
  if (text.length < SIMPLE_CHARACTERS && (kind === 'chat' || kind === 'summary'))
    return { complexity: 'simple', says: 'a short task' };
  return {
    complexity: text.length < SIMPLE_CHARACTERS / 2 ? 'simple' : 'moderate',
    says: `${String(text.length)} characters`,
  };
}

/** Judges a prompt: by the profile's rules, and by ours what they leave open. Pure; costs the same for any length. */
export function classify(prompt: Prompt, rules: readonly Rule[] = []): Classification {
  const text = taskText(prompt);
  const view = viewOf(text);
  const judged = judge(text, view);
  const number = rules.findIndex((rule) => applies(rule, text, view.toLowerCase()));
  const rule = rules[number];
  if (rule === undefined) return judged;
  const { kind = judged.kind, complexity = judged.complexity } = rule;
  const isWhole = rule.kind !== undefined && rule.complexity !== undefined;
  const reason = `rule ${String(number + 1)} of the profile${isWhole ? '' : `, ${judged.reason}`}`;
  return { kind, complexity, confidence: isWhole ? 1 : judged.confidence, reason };
}

function applies({ contains, longerThan = -1, shorterThan = Infinity }: Rule, text: string, view: string): boolean {
  if (text.length <= longerThan || text.length >= shorterThan) return false;
  return contains === undefined || contains.some((piece) => view.includes(piece));
}

function judge(text: string, view: string): Classification {
  const { kind, weight, total, says } = kindOf(view);
  const judged = complexityOf(text, view, kind);
  // No sign at all is weak evidence for chat; one strong sign is worth 0.75; rivals lower it.
  const confidence = total === 0 ? 0.4 : (weight / total) * (weight / (weight + 1));
  return {
    kind,
    complexity: judged.complexity,
    confidence: Math.round(confidence * 100) / 100,
    reason: [...says, judged.says].join(', '),
  };
}
