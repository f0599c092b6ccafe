"""Words that each language keeps for itself, or that its library takes as macros."""

from __future__ import annotations

C_WORDS = frozenset(
    """
    auto break case char const continue default do double else enum extern float for goto if inline
    int long register restrict return short signed sizeof static struct switch typedef union
    unsigned void volatile while alignas alignof bool constexpr false nullptr static_assert
    thread_local true typeof typeof_unqual asm fortran near far interrupt
    and and_eq bitand bitor catch char8_t char16_t char32_t class co_await co_return co_yield compl
    concept consteval constinit const_cast decltype delete dynamic_cast explicit export friend
    import module mutable namespace new noexcept not not_eq operator or or_eq private protected
    public reinterpret_cast requires static_cast template this throw try typeid typename using
    virtual wchar_t xor xor_eq final override
    main errno NULL EOF assert linux unix i386 arm
    """.split()
)
PYTHON_WORDS = frozenset(
    """
    False None True and as assert async await break class continue def del elif else except exec
    finally for from global if import in is lambda match nonlocal not or pass print raise return
    try type while with yield self cls
    """.split()
)
JAVASCRIPT_WORDS = frozenset(
    """
    abstract arguments await boolean break byte case catch char class const continue debugger
    default delete do double else enum eval export extends false final finally float for function
    goto if implements import in instanceof int interface let long native new null package private
    protected public return short static super switch synchronized this throw throws transient true
    try typeof undefined var void volatile while with yield async of
    """.split()
)
