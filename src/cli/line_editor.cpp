#include "cli/line_editor.h"

#include <histedit.h>
#include <langinfo.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <cstdio>
#include <string_view>

#include "base/error.h"
#include "base/utf8.h"
#include "cli/interrupt.h"
#include "cli/line_history.h"

namespace lancet {
namespace {

constexpr wchar_t kLiteral = L'\1';  // around what takes no room on the screen
// Ctrl-D. Typed while an answer was still coming, it is read as a zero.
constexpr char kEndOfInput = 4;
constexpr size_t kPastedCharacters = 1 << 20;  // beyond this, pasted text is dropped
constexpr const char* kPasteMarksOn = "\033[?2004h";
constexpr const char* kPasteMarksOff = "\033[?2004l";

std::string to_utf8(std::wstring_view text) {
  std::string out;
  for (const wchar_t code : text) utf8_append(out, static_cast<char32_t>(code));
  return out;
}

std::wstring to_wide(std::string_view text) {
  std::wstring out;
  while (!text.empty()) {
    const Utf8Step step = utf8_next(text);
    out += static_cast<wchar_t>(step.code_point);
    text.remove_prefix(step.length);
  }
  return out;
}

void write_terminal(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

unsigned char break_line(EditLine* editor, int) { return el_winsertstr(editor, L"\n") == 0 ? CC_REFRESH : CC_ERROR; }

/// What a terminal sends between ESC[200~ and ESC[201~: text, whatever it looks like.
unsigned char insert_pasted(EditLine* editor, int) {
  constexpr std::wstring_view kEnd = L"\033[201~";
  std::wstring pasted;
  wchar_t code = 0;
  while (el_wgetc(editor, &code) == 1) {
    if (pasted.size() < kPastedCharacters + kEnd.size()) pasted += code == L'\r' ? L'\n' : code;
    if (code == L'~' && pasted.ends_with(kEnd)) break;
  }
  if (!pasted.ends_with(kEnd)) return CC_ERROR;
  pasted.resize(pasted.size() - kEnd.size());
  std::erase_if(pasted, [](wchar_t c) { return (c < 0x20 && c != L'\n' && c != L'\t') || c == 0x7f; });
  while (pasted.ends_with(L'\n')) pasted.pop_back();
  if (pasted.empty()) return CC_NORM;
  return el_winsertstr(editor, pasted.c_str()) == 0 ? CC_REFRESH : CC_ERROR;
}

}  // namespace

struct LineEditor::State {
  std::filesystem::path file;
  HistoryW* history = history_winit();
  EditLine* editor = nullptr;
  std::wstring prompt;
  bool interrupted = false;
  std::string given_up;

  ~State() {
    if (editor) el_end(editor);
    if (history) history_wend(history);
  }

  static State& of(EditLine* editor) {
    void* state = nullptr;
    el_wget(editor, EL_CLIENTDATA, &state);
    return *static_cast<State*>(state);
  }

  static wchar_t* shown_prompt(EditLine* editor) { return of(editor).prompt.data(); }

  /// Waits for a byte. False: interrupted, or there is none.
  bool wait(EditLine* editor_now) {
    constexpr int kLookMs = 200;
    while (true) {
      if (take_interrupt()) {
        const LineInfoW* line = el_wline(editor_now);
        given_up = to_utf8({line->buffer, static_cast<size_t>(line->lastchar - line->buffer)});
        interrupted = true;
        return false;
      }
      if (take_resize()) el_resize(editor_now);
      if (take_continue()) show_again(editor_now);
      pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
      if (::poll(&input, 1, kLookMs) > 0) return true;
    }
  }

  /// After the shell had the terminal.
  static void show_again(EditLine* editor_now) {
    el_wset(editor_now, EL_PREP_TERM, 0);
    el_wset(editor_now, EL_PREP_TERM, 1);
    write_terminal(kPasteMarksOn);
    el_wset(editor_now, EL_REFRESH);
  }

  /// One character; libedit's own reader neither ends for a signal nor knows UTF-8 in every locale.
  static int read_character(EditLine* editor_now, wchar_t* character) {
    std::string bytes;
    while (bytes.empty() || (utf8_complete_prefix(bytes) == 0 && bytes.size() < 4)) {
      char byte = 0;
      if (!of(editor_now).wait(editor_now)) return -1;
      const ssize_t got = ::read(STDIN_FILENO, &byte, 1);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return 0;
      bytes += byte ? byte : kEndOfInput;
    }
    *character = static_cast<wchar_t>(utf8_next(bytes).code_point);
    return 1;
  }
};

LineEditor::LineEditor(std::filesystem::path history) : state_(std::make_unique<State>()) {
  std::setlocale(LC_CTYPE, "");
  if (std::string_view(nl_langinfo(CODESET)) != "UTF-8") std::setlocale(LC_CTYPE, "C.UTF-8");
  State& state = *state_;
  state.file = std::move(history);
  state.editor = el_init("lancet", stdin, stdout, stderr);
  if (!state.editor || !state.history) throw Error(Fault::io, "the terminal cannot be set up for editing");
  HistEventW event;
  history_w(state.history, &event, H_SETSIZE, static_cast<int>(kHistoryLines));
  history_w(state.history, &event, H_SETUNIQUE, 1);
  for (const std::string& entry : load_history(state.file))
    history_w(state.history, &event, H_ENTER, to_wide(entry).c_str());
  el_wset(state.editor, EL_CLIENTDATA, &state);
  el_wset(state.editor, EL_PROMPT_ESC, &State::shown_prompt, kLiteral);
  el_wset(state.editor, EL_GETCFN, &State::read_character);
  el_wset(state.editor, EL_HIST, history_w, state.history);
  el_wset(state.editor, EL_EDITOR, L"emacs");
  el_wset(state.editor, EL_ADDFN, L"lancet-break-line", L"Insert a line break", &break_line);
  el_wset(state.editor, EL_ADDFN, L"lancet-paste", L"Insert pasted text", &insert_pasted);
  for (const wchar_t* key : {L"\\e\\r", L"\\e\\n"}) el_wset(state.editor, EL_BIND, key, L"lancet-break-line", nullptr);
  el_wset(state.editor, EL_BIND, L"\\e[200~", L"lancet-paste", nullptr);
  el_wset(state.editor, EL_BIND, L"^R", L"em-inc-search-prev", nullptr);
  el_source(state.editor, nullptr);
}

LineEditor::~LineEditor() = default;

LineEditor::Line LineEditor::read(const std::string& prompt, bool bold) {
  State& state = *state_;
  const std::wstring text = to_wide(prompt);
  state.prompt = bold ? L"\1\033[1m\1" + text + L"\1\033[0m\1" : text;
  state.interrupted = false;
  el_wset(state.editor, EL_PREP_TERM, 1);  // before the prompt invites typing, which libedit alone does after it
  write_terminal(kPasteMarksOn);
  int count = 0;
  const wchar_t* line = el_wgets(state.editor, &count);
  write_terminal(kPasteMarksOff);
  if (state.interrupted) {
    el_reset(state.editor);
    write_terminal("^C\n");
    return {End::interrupt, state.given_up};
  }
  if (!line || count <= 0) return {End::end_of_input, {}};
  std::wstring_view typed(line, static_cast<size_t>(count));
  if (typed.ends_with(L'\n')) typed.remove_suffix(1);
  return {End::line, to_utf8(typed)};
}

void LineEditor::remember(const std::string& entry) {
  HistEventW event;
  history_w(state_->history, &event, H_ENTER, to_wide(entry).c_str());
  append_history(state_->file, entry);
}

}  // namespace lancet
