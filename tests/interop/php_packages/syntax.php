<?php
// Print what is wrong with files for an old version of PHP: php syntax.php 7.4 FILE...
require '/usr/share/php/PhpParser/autoload.php';

class Newer extends PhpParser\NodeVisitorAbstract
{
    private $kinds = array('Enum_', 'Match', 'NullsafePropertyFetch', 'NullsafeMethodCall', 'UnionType', 'IntersectionType', 'Attribute');

    public function enterNode(PhpParser\Node $node)
    {
        $kind = substr(strrchr(get_class($node), '\\'), 1);
        $promoted = $node instanceof PhpParser\Node\Param && $node->flags !== 0;
        $named = $node instanceof PhpParser\Node\Arg && $node->name !== null;
        if ($promoted || $named || in_array(rtrim($kind, '_'), $this->kinds, true) || $kind === 'Enum_') {
            throw new Exception("$kind in line " . $node->getLine());
        }
    }
}

$lexer = new PhpParser\Lexer\Emulative(array('phpVersion' => $argv[1]));
$kind = constant('PhpParser\ParserFactory::ONLY_PHP' . $argv[1][0]);
$walk = new PhpParser\NodeTraverser();
$walk->addVisitor(new Newer());
foreach (array_slice($argv, 2) as $file) {
    try {
        $parser = (new PhpParser\ParserFactory())->create($kind, $lexer);
        $walk->traverse($parser->parse(file_get_contents($file)));
    } catch (Throwable $error) {
        echo "$file: {$error->getMessage()}\n";
    }
}
