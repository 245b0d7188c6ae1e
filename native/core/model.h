// Internal: a loaded model and what can be done with it without a context: tokens from prompts, text from tokens. All
// const members are safe from any thread. Knows no sequences.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "chat-template.h"
#include "info.h"
#include "llama-handles.h"
#include "memory-plan.h"
#include "options.h"
#include "weights.h"

namespace llamaestro {

class Model {
 public:
  // Loads weights, adapters and vocabulary as `plan` says, or takes the share of loaded ones that it brings.
  // `onProgress` gets 0
  // ... 1 and stops the load by returning false. The caller holds the LoadTurn. Throws Failure cancelled,
  // out_of_memory, model_unusable or load_failed.
  Model(const LoadPlan& plan, const std::function<bool(double)>& onProgress);

  llama_model* raw() const { return weights_->raw(); }
  const Weights& weights() const { return *weights_; }
  const Adapters& adapters() const { return adapters_; }
  const llama_vocab* vocab() const { return llama_model_get_vocab(raw()); }
  uint32_t vocabSize() const { return static_cast<uint32_t>(llama_vocab_n_tokens(vocab())); }

  // True when aborting inside a graph leaves other sequences intact (attention only, see Cancellation in the design).
  bool isAbortable() const;
  // True when the newest positions of a sequence can be taken out of the cache as if they had never been there.
  bool canRewind() const;

  // A prompt as the model takes it. `chat` says how the answer is taken apart; null: it is plain text.
  struct Prepared {
    std::vector<llama_token> tokens;
    std::shared_ptr<const ChatSyntax> chat;
  };
  // Throws as `tokenize`.
  Prepared prepare(const Prompt& prompt) const;

  // Token ids of a prompt. Throws Failure invalid_request, or model_unusable (bad chat template).
  std::vector<llama_token> tokenize(const Prompt& prompt) const;
  // Token ids of plain text: `special` parses special tokens in it, `framed` adds what the model puts around a text.
  std::vector<llama_token> tokenizeText(const std::string& text, bool framed, bool special) const;

  // Bytes of one token as generation shows it: nothing for control tokens. Never throws for ids of the vocabulary.
  std::string piece(llama_token token) const { return pieceOf(token, false); }
  // The same with control tokens written out.
  std::string specialPiece(llama_token token) const { return pieceOf(token, true); }
  // Whole text of many tokens, special ones rendered, clean UTF-8. Throws Failure invalid_request.
  std::string detokenize(const std::vector<double>& tokens) const;

  bool hasChatTemplate() const { return chat_ && chat_->isExplicit(); }
  // What is known of the model itself; the fields of the load are left alone.
  void describe(const LoadPlan& plan, EngineInfo& info) const;

 private:
  void requireVocabulary() const;
  std::string pieceOf(llama_token token, bool special) const;
  std::vector<llama_token> checkTokens(const std::vector<double>& tokens) const;

  std::shared_ptr<Weights> weights_;
  Adapters adapters_;
  std::unique_ptr<ChatTemplate> chat_;
};

}  // namespace llamaestro
