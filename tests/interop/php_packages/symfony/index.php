<?php
// A program of Symfony 5.4 as Debian has it, without Composer: its pages. The settings are those of the README.

namespace App;

use SsoClient;
use Symfony\Bundle\FrameworkBundle\FrameworkBundle;
use Symfony\Bundle\FrameworkBundle\Kernel\MicroKernelTrait;
use Symfony\Bundle\SecurityBundle\SecurityBundle;
use Symfony\Component\DependencyInjection\Loader\Configurator\ContainerConfigurator;
use Symfony\Component\HttpFoundation\RedirectResponse;
use Symfony\Component\HttpFoundation\Request;
use Symfony\Component\HttpFoundation\Response;
use Symfony\Component\HttpKernel\Kernel;
use Symfony\Component\Routing\Loader\Configurator\RoutingConfigurator;

error_reporting(E_ALL & ~E_DEPRECATED & ~E_USER_DEPRECATED);
foreach (['Bundle/FrameworkBundle', 'Bundle/SecurityBundle', 'Component/Security/Http', 'Component/Yaml'] as $part) {
    $file = "/usr/share/php/Symfony/$part/autoload.php";
    is_file($file) && require_once $file;
}
require getenv('SSO_PACKAGE') . '/src/autoload.php';

final class Pages
{
    private SsoClient $sso;

    public function __construct(SsoClient $sso)
    {
        $this->sso = $sso;
    }

    public function home(): Response
    {
        $user = $this->sso->user();
        return new Response($user === null ? 'Belum masuk: /login' : '<p>Halo, ' . htmlspecialchars($user['name']) . '</p>' . $this->sso->logoutForm('Keluar'));
    }

    public function login(): Response
    {
        return new RedirectResponse($this->sso->loginUrl('/'), 303);
    }

    public function page(): Response
    {
        return new Response('Pengguna: ' . htmlspecialchars($this->sso->user()['name']));
    }
}

final class App extends Kernel
{
    use MicroKernelTrait;

    public function registerBundles(): iterable
    {
        return [new FrameworkBundle(), new SecurityBundle()];
    }

    public function getCacheDir(): string
    {
        return getenv('DATA') . '/cache';
    }

    public function getLogDir(): string
    {
        return getenv('DATA') . '/log';
    }

    protected function configureContainer(ContainerConfigurator $c): void
    {
        $c->extension('framework', [
            'secret' => 'S0ME_SECRET', 'router' => ['utf8' => true], 'http_method_override' => false,
            'session' => ['handler_id' => 'session.handler.native_file', 'save_path' => getenv('DATA') . '/sessions', 'cookie_samesite' => 'lax', 'storage_factory_id' => 'session.storage.factory.native'],
        ]);
        $c->import(getenv('DATA') . '/config/packages/security.yaml'); // as the README shows them
        $c->import(getenv('DATA') . '/config/services.yaml');
        $services = $c->services()->defaults()->autowire()->autoconfigure();
        $services->set(Pages::class)->tag('controller.service_arguments');
    }

    protected function configureRoutes(RoutingConfigurator $routes): void
    {
        $routes->import(getenv('DATA') . '/config/routes.yaml');
        $routes->add('home', '/')->controller([Pages::class, 'home']);
        $routes->add('login', '/login')->controller([Pages::class, 'login']);
        $routes->add('loket', '/loket')->controller([Pages::class, 'page']);
        $routes->add('operator', '/operator')->controller([Pages::class, 'page']);
    }
}

$kernel = new App('prod', false);
$request = Request::createFromGlobals();
$response = $kernel->handle($request);
$response->send();
$kernel->terminate($request, $response);
