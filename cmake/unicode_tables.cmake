# Generates unicode_tables.inc from the Unicode character database of Debian's unicode-data (version 15.0) at build time.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
set(LANCET_UNICODE_DATA /usr/share/unicode CACHE PATH "Folder with UnicodeData.txt and PropList.txt")
set(LANCET_UNICODE_INCLUDE ${CMAKE_BINARY_DIR}/generated)
set(unicode_output ${LANCET_UNICODE_INCLUDE}/unicode_tables.inc)
add_custom_command(
  OUTPUT ${unicode_output}
  COMMAND ${CMAKE_COMMAND} -E make_directory ${LANCET_UNICODE_INCLUDE}
  COMMAND Python3::Interpreter ${CMAKE_SOURCE_DIR}/tools/unicode_tables.py ${LANCET_UNICODE_DATA} ${unicode_output}
  DEPENDS ${CMAKE_SOURCE_DIR}/tools/unicode_tables.py ${LANCET_UNICODE_DATA}/UnicodeData.txt
  VERBATIM)
add_custom_target(unicode_tables DEPENDS ${unicode_output})
