"""The test files that run.py takes unless it is told others.

First those that look at the state of the process, then a mixture of the rest, then what is mostly about the language. A
name that a version of CPython does not have is passed over. Left out: what takes minutes, needs the network, or starts
its own interpreter for everything.
"""

_PROCESS = """
    test_sys test_os test_posix test_signal test_threadsignals test_atexit test_fileio test_bufio test_file test_tempfile
    test_random test_time test_locale test__locale test_gc test_weakref test_weakset test_finalization test_thread
    test_threading_local test_threadedtempfile test_fork1 test_wait3 test_wait4 test_popen test_pty test_openpty test_tty
    test_termios test_ioctl test_fcntl test_resource test_select test_selectors test_poll test_epoll test_devpoll
    test_traceback test_inspect test_inspect/test_inspect test_import test_import/__init__ test_pkgutil
    test_pkg test_zipimport test_zipimport_support test_zipapp test_site test_sysconfig test_warnings
    test_warnings/__init__ test_cmd_line test_cmd_line_script test_utf8_mode test_c_locale_coercion test_audit
    test_tracemalloc test_exceptions test_baseexception test_repl test_getpass test_readline test_rlcompleter test_doctest
    test_doctest2 test_bdb test_trace test_sys_setprofile test_sys_settrace test_monitoring test_script_helper test_support
    test_shutil test_glob test_pathlib test_stat test_userdict test_pickle test_dict test_set test_hash test_builtin
    test_codecs test_contextlib test_dbm test_dbm_dumb test_dbm_gnu test_dbm_ndbm test_errno test_eintr test_code
    test_code_module test_frame test_frozen test_getpath test_global test_linecache test_mmap test_module test_modulefinder
    test_multiprocessing_main_handling test_context test_asyncgen test_coroutines test_capi test_platform test_pwd test_grp
    test_syslog test_uuid test_hashlib test_secrets test_ssl test_timeit test_strptime test_strftime test_calendar
    test_datetime test_getopt test_optparse test_argparse test_gettext test_univnewlines test_print test_fileinput
    test_marshal test_py_compile test_compileall test_dis test_descr test_type_cache test_dict_version test_call
    test_asyncio/test_subprocess test_asyncio/test_unix_events test_asyncio/test_runners test_asyncio/test_events
    test_importlib/test_threaded_import test_importlib/test_util test_importlib/test_abc test_importlib/test_locks
    test_threading test_subprocess test_io test_logging test_faulthandler test_socket test_socketserver test_pdb test_mailbox
    test_perf_profiler test_perfmaps test_interpreters test_interpreters/test_api test_interpreters/test_lifecycle test__interpreters
    test__interpchannels test__xxsubinterpreters test__xxinterpchannels test_opcache
    test_profile test_cprofile test_pstats test_sched test_queue test_timeout test_eof
"""

_MIXTURE = """
    test___all__ test_abc test_array test_ast test_base64 test_bisect test_bool test_buffer test_bytes test_bz2 test_class
    test_cmath test_cmd test_codeop test_collections test_complex test_configparser test_copy test_copyreg test_csv
    test_ctypes test_curses test_dataclasses test_decimal test_deque test_dynamic test_email/test_email test_enum
    test_except_star test_filecmp test_float test_fnmatch test_format test_fractions test_fstring test_functools
    test_generators test_genericpath test_graphlib test_gzip test_heapq test_hmac test_html test_httplib test_httpservers
    test_int test_ipaddress test_isinstance test_itertools test_json/__init__ test_keyword test_list test_math
    test_memoryview test_mimetypes test_minidom test_netrc test_operator test_ordered_dict test_patma test_plistlib
    test_posixpath test_pprint test_property test_pyclbr test_pydoc test_pyexpat test_raise test_re test_reprlib test_scope
    test_shelve test_shlex test_source_encoding test_sqlite3/test_dbapi test_stable_abi_ctypes test_statistics test_string
    test_struct test_structseq test_super test_symtable test_syntax test_tarfile test_textwrap test_tuple test_types
    test_typing test_unicode test_unicode_file test_unicodedata test_unittest/test_program test_unittest/test_break
    test_unittest/test_runner test_urllib test_urlparse test_wave test_webbrowser test_wsgiref test_xml_etree test_xmlrpc
    test_xxlimited test_yield_from test_zipfile test_zlib
"""

_LANGUAGE = """
    test__opcode test__osx_support test_abstract_numbers test_aifc test_asdl_parser test_audioop test_augassign
    test_binascii test_binop test_cgi test_cgitb test_charmapcodec test_codeccallbacks test_codecencodings_iso2022
    test_colorsys test_compare test_compile test_contains test_contextlib_async test_decorators test_defaultdict
    test_descrtut test_dictcomps test_dictviews test_difflib test_dynamicclassattribute test_enumerate
    test_exception_hierarchy test_exception_variations test_extcall test_flufl test_ftplib test_funcattrs
    test_genericalias test_genericclass test_genexps test_grammar test_htmlparser test_http_cookies test_imghdr
    test_index test_int_literal test_iter test_iterlen test_keywordonlyarg test_listcomps test_long test_lzma
    test_memoryio test_metaclass test_multibytecodec test_named_expressions test_ntpath test_numeric_tower test_opcodes
    test_peepholer test_picklebuffer test_pipes test_poplib test_positional_only_arg test_pow test_pulldom test_quopri
    test_range test_richcmp test_runpy test_sax test_setcomps test_slice test_sndhdr test_sort test_string_literals
    test_stringprep test_subclassinit test_sunau test_tabnanny test_tokenize test_typechecks test_ucn test_unary
    test_unicode_identifiers test_unpack test_unpack_ex test_unparse test_urllib2 test_userlist test_userstring
    test_utf8source test_uu test_with test_xdrlib test_xml_dom_minicompat test_xml_etree_c
"""

NAMES = _PROCESS.split() + _MIXTURE.split() + _LANGUAGE.split()
